#include "engine/control/admission.h"

#include <gtest/gtest.h>

#include <functional>

#include "tests/engine/control/samples.h"

namespace ringwire::control {
namespace {

struct Row {
  const char* name;
  std::function<void(Hello& own, Hello& peer)> change;
  std::optional<RefuseReason> reason;
};

TEST(Admission, each_misfit_has_its_reason) {
  using enum RefuseReason;
  const Row rows[] = {
      {"fitting", [](Hello&, Hello&) {}, std::nullopt},
      {"newer", [](Hello&, Hello& p) { p.wire_version_min = 2, p.wire_version_max = 3; },
       kWireVersion},
      {"older", [](Hello& o, Hello&) { o.wire_version_min = 2, o.wire_version_max = 3; },
       kWireVersion},
      {"overlapping", [](Hello&, Hello& p) { p.wire_version_max = 3; }, std::nullopt},
      {"tls", [](Hello&, Hello& p) { p.security = Security::kTls; }, kSecurity},
      {"name", [](Hello&, Hello& p) { p.cluster_name = "other"; }, kClusterName},
      {"id",
       [](Hello&, Hello& p) {
         p.cluster_id = {1, 1};
       },
       kClusterId},
      {"id not known yet", [](Hello&, Hello& p) { p.cluster_id = {}; }, std::nullopt},
      {"own id not known yet", [](Hello& o, Hello&) { o.cluster_id = {}; }, std::nullopt},
      {"self", [](Hello& o, Hello& p) { p = o; }, kSelf},
      {"same name", [](Hello& o, Hello& p) { p.node_name = o.node_name; }, kNameInUse},
      {"type", [](Hello&, Hello& p) { p.cluster_kind = ClusterKind::kRandom; }, kClusterType},
      {"secondaries", [](Hello&, Hello& p) { p.secondaries = 2; }, kSecondaries},
      {"placement", [](Hello&, Hello& p) { p.placement_version = 2; }, kPlacementVersion},
      {"members", [](Hello&, Hello& p) { p.members_digest = 1, p.placement_digest = 1; }, kMembers},
      {"table", [](Hello&, Hello& p) { p.placement_digest = 1; }, kPlacementDigest},
      {"a slave without a list",
       [](Hello&, Hello& p) { p.members_digest = 0, p.placement_digest = 0; }, std::nullopt},
  };
  for (const Row& row : rows) {
    Hello own = sample_hello("a", 1);
    Hello peer = sample_hello("b", 2);
    row.change(own, peer);
    const auto refusal = find_refusal(own, peer);
    ASSERT_EQ(refusal.has_value(), row.reason.has_value()) << row.name;
    if (!refusal) continue;
    EXPECT_EQ(refusal->reason, *row.reason) << row.name;
    EXPECT_FALSE(refusal->text.empty()) << row.name;
    EXPECT_LE(refusal->text.size(), kMaxTextBytes) << row.name;
    if (*row.reason != kNameInUse) {
      ASSERT_TRUE(find_refusal(peer, own).has_value()) << row.name;
      EXPECT_EQ(find_refusal(peer, own)->reason, *row.reason) << row.name;  // both know why
    }
  }
}

TEST(Admission, the_text_says_what_was_found_and_what_is_needed) {
  Hello peer = sample_hello("b", 2);
  peer.cluster_name = "invoices";
  EXPECT_EQ(find_refusal(sample_hello("a", 1), peer)->text,
            "node \"a\" is of cluster \"orders\", you are of \"invoices\"");
}

TEST(Admission, the_highest_common_version_is_agreed) {
  Hello own = sample_hello("a", 1);
  Hello peer = sample_hello("b", 2);
  own.wire_version_max = 4;
  peer.wire_version_max = 3;
  EXPECT_EQ(agreed_wire_version(own, peer), 3);
  EXPECT_EQ(agreed_wire_version(peer, own), 3);
}

}  // namespace
}  // namespace ringwire::control
