// The two JSON files that tell a multi-card deployment which model runs on which card. They are templates: the cluster's real
// nodes, cards and addresses are not known at export, so every rank is placed on node 0 and the user adjusts them.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "ir/graph.h"
#include "program/program.h"

namespace airloom::distributed {

/// What both files are made of.
struct Deployment {
  std::string export_name;             // the files are "<export_name><rank>.air"
  std::int64_t world_size = 1;         // ranks 0 .. world_size-1
  std::vector<program::Group> groups;  // those that the graph uses
};

/// The groups that the module's collectives (Hcom* nodes) name, sorted by name, each once. kInvalidGraph when a node names a group that is
/// not in `known`. A collective without a group runs in the world and needs no entry.
Result<std::vector<program::Group>> used_groups(const ir::Module& module, const std::vector<program::Group>& known);
/// Whether there is any collective.
bool has_collectives(const ir::Module& module);

/// Text of model_relation_config.json: deploy_config, model_name_to_instance_id, comm_group, rank_table.
std::string model_relation_config(const Deployment& deployment);
/// Text of numa_config.json: cluster, item_def, node_def. It has the keys of both known readers (both spellings of "nodes_topology").
std::string numa_config(const Deployment& deployment);

}  // namespace airloom::distributed
