#include "ring/decree.h"

namespace ringwire::ring {

bool is_well_formed(const Decree& decree) {
  const auto in_order = [](const IdSet& ids) {
    return std::adjacent_find(ids.begin(), ids.end(),
                              [](const Id128& a, const Id128& b) { return !(a < b); }) == ids.end();
  };
  return !decree.voters.empty() && decree.voters.size() <= kMaxVoters &&
         decree.losers.size() <= kMaxLosers && in_order(decree.voters) && in_order(decree.losers) &&
         decree.description.size() <= kMaxDescriptionBytes;
}

}  // namespace ringwire::ring
