#include "distributed/relation_config.h"

#include <algorithm>
#include <map>
#include <string_view>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace airloom::distributed {

namespace {

using Json = nlohmann::ordered_json;

constexpr int kIndent = 4;
constexpr std::string_view kItemType = "Ascend910";
constexpr std::string_view kNodeType = "ATLAS800";
constexpr std::string_view kAddress = "127.0.0.1";
constexpr int kPort = 29500;  // torch.distributed's default

bool is_collective(const ir::Node& node) { return !node.erased && node.type.rfind("Hcom", 0) == 0; }

template <class F>
void each_collective(const ir::Module& module, F&& f) {
  for (const ir::Graph& graph : module.graphs) {
    for (ir::NodeId id = 0; id < graph.arena_size(); ++id) {
      if (is_collective(graph.node(id))) f(graph.node(id));
    }
  }
}

std::string text(const Json& json) { return json.dump(kIndent, ' ', false, Json::error_handler_t::replace) + "\n"; }

}  // namespace

bool has_collectives(const ir::Module& module) {
  bool found = false;
  each_collective(module, [&found](const ir::Node&) { found = true; });
  return found;
}

Result<std::vector<program::Group>> used_groups(const ir::Module& module, const std::vector<program::Group>& known) {
  std::map<std::string, std::string> users;  // group -> the first node that names it
  each_collective(module, [&users](const ir::Node& node) {
    const auto attr = node.attrs.find("group");
    const auto* name = attr == node.attrs.end() ? nullptr : std::get_if<std::string>(&attr->second);
    if (name != nullptr && !name->empty()) users.emplace(*name, node.name);
  });
  std::vector<program::Group> out;
  for (const auto& [name, user] : users) {
    const auto group = std::find_if(known.begin(), known.end(), [&wanted = name](const program::Group& g) { return g.name == wanted; });
    if (group == known.end()) return fail(Errc::kInvalidGraph, fmt::format("the collective names the unknown group \"{}\"", name), user);
    out.push_back(*group);
  }
  return out;
}

std::string model_relation_config(const Deployment& deployment) {
  Json out;
  for (const char* list : {"deploy_config", "model_name_to_instance_id", "comm_group", "rank_table"}) out[list] = Json::array();
  for (std::int64_t rank = 0; rank < deployment.world_size; ++rank) {
    const std::string model = fmt::format("{}{}.air", deployment.export_name, rank);
    out["deploy_config"].push_back({{"submodel_name", model}, {"deploy_device_id_list", fmt::format("0:0:{}", rank)}});
    out["model_name_to_instance_id"].push_back({{"submodel_name", model}, {"model_instance_id", rank}});
    out["rank_table"].push_back({{"rank_id", rank}, {"model_instance_id", rank}});
  }
  for (const program::Group& group : deployment.groups)
    out["comm_group"].push_back({{"group_name", group.name}, {"group_rank_list", fmt::format("[{}]", fmt::join(group.ranks, ", "))}});
  return text(out);
}

std::string numa_config(const Deployment& deployment) {
  Json items = Json::array();
  Json devices = Json::array();
  for (std::int64_t rank = 0; rank < deployment.world_size; ++rank) {
    items.push_back({{"item_id", rank}, {"device_id", rank}, {"ipaddr", kAddress}});
    devices.push_back(rank);
  }
  Json node = {{"node_id", 0}, {"node_type", kNodeType}, {"ipaddr", kAddress}, {"port", kPort}, {"item_list", items}};
  Json plane = {{"plane_id", 0}, {"devices", devices}};
  Json topology = {{"type", "star"}, {"topos", Json::array({plane})}};
  Json cluster;
  cluster["cluster_nodes"] = Json::array({node});
  cluster["nodes_toplogy"] = Json::object();  // one reader's spelling
  cluster["nodes_topology"] = topology;
  Json item_def = {{"item_type", kItemType}, {"memory", "[DDR:32GB]"}, {"aic_type", "[DAVINCI_V100:32]"}};
  Json item_type;
  item_type["item_type"] = kItemType;
  Json node_def = {
      {"node_type", kNodeType}, {"support_links", "[HCCS,PCIE,ROCE]"}, {"item_type", kItemType}, {"item", Json::array({item_type})}};
  Json out;
  out["cluster"] = Json::array({cluster});
  out["item_def"] = Json::array({item_def});
  out["node_def"] = Json::array({node_def});
  return text(out);
}

}  // namespace airloom::distributed
