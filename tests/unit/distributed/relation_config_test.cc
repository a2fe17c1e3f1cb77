#include "distributed/relation_config.h"

#include <gtest/gtest.h>

namespace airloom::distributed {
namespace {

ir::Node collective(std::string name, std::string group) {
  ir::Node node;
  node.name = std::move(name);
  node.type = "HcomAllReduce";
  node.outputs.push_back({"y", {ir::DType::kFloat, {2}, false}, ir::Format::kND, false, {}});
  node.attrs["group"] = std::move(group);
  return node;
}

TEST(RelationConfig, HasTheFieldsOfAllFourLists) {
  EXPECT_EQ(model_relation_config({"mp_rank", 2, {{"group_0_1", {0, 1}}}}), R"({
    "deploy_config": [
        {
            "submodel_name": "mp_rank0.air",
            "deploy_device_id_list": "0:0:0"
        },
        {
            "submodel_name": "mp_rank1.air",
            "deploy_device_id_list": "0:0:1"
        }
    ],
    "model_name_to_instance_id": [
        {
            "submodel_name": "mp_rank0.air",
            "model_instance_id": 0
        },
        {
            "submodel_name": "mp_rank1.air",
            "model_instance_id": 1
        }
    ],
    "comm_group": [
        {
            "group_name": "group_0_1",
            "group_rank_list": "[0, 1]"
        }
    ],
    "rank_table": [
        {
            "rank_id": 0,
            "model_instance_id": 0
        },
        {
            "rank_id": 1,
            "model_instance_id": 1
        }
    ]
}
)");
}

TEST(RelationConfig, NumaConfigServesBothReaders) {
  EXPECT_EQ(numa_config({"mp_rank", 2, {}}), R"({
    "cluster": [
        {
            "cluster_nodes": [
                {
                    "node_id": 0,
                    "node_type": "ATLAS800",
                    "ipaddr": "127.0.0.1",
                    "port": 29500,
                    "item_list": [
                        {
                            "item_id": 0,
                            "device_id": 0,
                            "ipaddr": "127.0.0.1"
                        },
                        {
                            "item_id": 1,
                            "device_id": 1,
                            "ipaddr": "127.0.0.1"
                        }
                    ]
                }
            ],
            "nodes_toplogy": {},
            "nodes_topology": {
                "type": "star",
                "topos": [
                    {
                        "plane_id": 0,
                        "devices": [
                            0,
                            1
                        ]
                    }
                ]
            }
        }
    ],
    "item_def": [
        {
            "item_type": "Ascend910",
            "memory": "[DDR:32GB]",
            "aic_type": "[DAVINCI_V100:32]"
        }
    ],
    "node_def": [
        {
            "node_type": "ATLAS800",
            "support_links": "[HCCS,PCIE,ROCE]",
            "item_type": "Ascend910",
            "item": [
                {
                    "item_type": "Ascend910"
                }
            ]
        }
    ]
}
)");
}

TEST(RelationConfig, OnlyUsedGroupsAreListedByName) {
  ir::Module module;
  module.graphs.emplace_back();
  EXPECT_FALSE(has_collectives(module));
  module.root().add(collective("b", "second"));
  module.root().add(collective("a", "first"));
  module.root().add(collective("c", "second"));
  EXPECT_TRUE(has_collectives(module));
  const auto groups = used_groups(module, {{"second", {1}}, {"unused", {0}}, {"first", {0, 1}}});
  ASSERT_TRUE(groups.has_value()) << groups.error().text();
  ASSERT_EQ(groups->size(), 2U);
  EXPECT_EQ((*groups)[0].name, "first");
  EXPECT_EQ((*groups)[0].ranks, (std::vector<std::int64_t>{0, 1}));
  EXPECT_EQ((*groups)[1].name, "second");
}

TEST(RelationConfig, AnUnknownGroupIsAnErrorThatNamesTheNode) {
  ir::Module module;
  module.graphs.emplace_back();
  module.root().add(collective("reduce", "nowhere"));
  const auto groups = used_groups(module, {});
  ASSERT_FALSE(groups.has_value());
  EXPECT_EQ(groups.error().code, Errc::kInvalidGraph);
  EXPECT_EQ(groups.error().where, "reduce");
}

}  // namespace
}  // namespace airloom::distributed
