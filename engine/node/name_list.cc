#include "engine/node/name_list.h"

#include <fnmatch.h>

#include <algorithm>

namespace ringwire::node {

bool admits_name(const std::vector<std::string>& patterns, const std::string& name) {
  return patterns.empty() ||
         std::any_of(patterns.begin(), patterns.end(), [&name](const std::string& pattern) {
           return ::fnmatch(pattern.c_str(), name.c_str(), FNM_NOESCAPE) == 0;
         });
}

}  // namespace ringwire::node
