#include "engine/control/admission.h"

#include <algorithm>

namespace ringwire::control {
namespace {

// Built by appending: g++ 12 warns falsely of `"literal" + std::string(...)` (GCC bug 105651).
std::string quoted(std::string_view text) {
  std::string result = "\"";
  result.append(text).append("\"");
  return result;
}

std::string versions_text(const Hello& hello) {
  return std::to_string(hello.wire_version_min) + " to " + std::to_string(hello.wire_version_max);
}

std::string_view security_text(Security security) {
  return security == Security::kTls ? "TLS on" : "TLS off";
}

std::string_view kind_text(ClusterKind kind) {
  return kind == ClusterKind::kHash ? "hash" : "random";
}

}  // namespace

std::optional<HelloRefuse> find_refusal(const Hello& own, const Hello& peer) {
  std::string who = "node ";
  who.append(quoted(own.node_name));
  const auto refuse = [](RefuseReason reason, std::string text) {
    if (text.size() > kMaxTextBytes) text.resize(kMaxTextBytes);
    return HelloRefuse{reason, std::move(text)};
  };
  if (peer.wire_version_max < own.wire_version_min || peer.wire_version_min > own.wire_version_max)
    return refuse(RefuseReason::kWireVersion, who + " speaks wire versions " + versions_text(own) +
                                                  ", you speak " + versions_text(peer));
  if (peer.security != own.security)
    return refuse(RefuseReason::kSecurity,
                  who + " has " + std::string(security_text(own.security)) + ", you have " +
                      std::string(security_text(peer.security)));
  if (peer.cluster_name != own.cluster_name)
    return refuse(RefuseReason::kClusterName, who + " is of cluster " + quoted(own.cluster_name) +
                                                  ", you are of " + quoted(peer.cluster_name));
  if (!peer.cluster_id.empty() && !own.cluster_id.empty() && peer.cluster_id != own.cluster_id)
    return refuse(RefuseReason::kClusterId,
                  who + " is of another cluster of the same name (the cluster ids differ)");
  if (peer.incarnation == own.incarnation)
    return refuse(RefuseReason::kSelf, who + " was dialled by itself");
  if (peer.node_name == own.node_name)
    return refuse(RefuseReason::kNameInUse, "the node name " + quoted(own.node_name) +
                                                " is in use by a running engine; names are unique");
  if (peer.cluster_kind != own.cluster_kind)
    return refuse(RefuseReason::kClusterType,
                  who + " has cluster type " + std::string(kind_text(own.cluster_kind)) +
                      ", you have " + std::string(kind_text(peer.cluster_kind)));
  if (peer.secondaries != own.secondaries)
    return refuse(RefuseReason::kSecondaries,
                  who + " has secondaries = " + std::to_string(own.secondaries) + ", you have " +
                      std::to_string(peer.secondaries));
  if (peer.placement_version != own.placement_version)
    return refuse(RefuseReason::kPlacementVersion,
                  who + " computes placement version " + std::to_string(own.placement_version) +
                      ", you compute " + std::to_string(peer.placement_version));
  if (peer.members_digest != 0 && own.members_digest != 0 &&
      peer.members_digest != own.members_digest)
    return refuse(RefuseReason::kMembers,
                  who + " has another member list (names, weights or zones differ)");
  if (peer.placement_digest != 0 && own.placement_digest != 0 &&
      peer.placement_digest != own.placement_digest)
    return refuse(RefuseReason::kPlacementDigest,
                  who + " computed another slot table from the same members");
  return std::nullopt;
}

std::uint16_t agreed_wire_version(const Hello& own, const Hello& peer) {
  return std::min(own.wire_version_max, peer.wire_version_max);
}

}  // namespace ringwire::control
