#include "engine/node/refusal_log.h"

#include <gtest/gtest.h>

namespace ringwire::node {
namespace {

using control::Refused;
using control::RefusedBy;
using control::RefuseReason;

TEST(RefusalLog, names_the_peer_and_the_reason_from_either_side) {
  RefusalLog log;
  EXPECT_EQ(log.line_for(peer_text("b", "192.0.2.7"),
                         {RefuseReason::kSecondaries, "node \"a\" has secondaries = 1, you have 0",
                          RefusedBy::kUs}),
            "refused node b at 192.0.2.7, telling it: node \"a\" has secondaries = 1, you have 0 "
            "(secondaries)");
  EXPECT_EQ(log.line_for(peer_text("", "192.0.2.8:3100"),
                         {RefuseReason::kNameInUse, "taken", RefusedBy::kPeer}),
            "192.0.2.8:3100 refused this node: taken (name-in-use)");
}

TEST(RefusalLog, says_a_sentence_once_until_it_changes_or_the_node_was_taken) {
  RefusalLog log;
  const Refused members{RefuseReason::kMembers, "another list", RefusedBy::kUs};
  const Refused type{RefuseReason::kClusterType, "another type", RefusedBy::kUs};
  EXPECT_NE(log.line_for("node b", members), "");
  EXPECT_NE(log.line_for("node c", members), "");
  EXPECT_EQ(log.line_for("node b", members), "");
  EXPECT_NE(log.line_for("node b", type), "");
  EXPECT_EQ(log.line_for("node c", members), "");
  log.forget("node c");
  EXPECT_NE(log.line_for("node c", members), "");
}

TEST(RefusalLog, does_not_grow_with_made_up_names_nor_print_their_control_characters) {
  RefusalLog log;
  for (std::size_t count = 0; count < RefusalLog::kMaxRemembered; ++count)
    EXPECT_NE(log.line_for("node " + std::to_string(count),
                           {RefuseReason::kMembers, "x", RefusedBy::kUs}),
              "");
  EXPECT_EQ(log.line_for("node one-more", {RefuseReason::kMembers, "x", RefusedBy::kUs}), "");
  EXPECT_NE(log.line_for("node 1", {RefuseReason::kMembers, "a\nb\x7f", RefusedBy::kUs})
                .find("telling it: a?b? (members)"),
            std::string::npos);
}

TEST(RefusalLog, says_once_who_broke_which_rule_until_the_node_was_taken) {
  RefusalLog log;
  const control::Lost lengthy{control::LostReason::kProtocolError, "too long"};
  const control::Lost unknown{control::LostReason::kProtocolError, "un\nknown"};
  const control::Lost silent{control::LostReason::kSilence, ""};
  EXPECT_EQ(log.line_for("node b", lengthy), "control connection with node b ended: too long");
  EXPECT_EQ(log.line_for("node b", unknown), "control connection with node b ended: un?known");
  EXPECT_EQ(log.line_for("node b", lengthy), "");
  EXPECT_EQ(log.line_for("node b", unknown), "");
  EXPECT_EQ(log.line_for("node b", silent), "");
  EXPECT_NE(log.line_for("node bc", lengthy), "");
  log.forget("node b");
  EXPECT_NE(log.line_for("node b", lengthy), "");
  EXPECT_EQ(log.line_for("node bc", lengthy), "");
}

}  // namespace
}  // namespace ringwire::node
