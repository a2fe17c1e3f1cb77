// What the runtime cannot do is said at load, all at once.
#include "run.h"

namespace airloom::runtime::testing {
namespace {

std::string refusal(const std::string& body) {
  const Result<Session> session = open(body);
  if (session) return "";
  EXPECT_EQ(session.error().code, Errc::kUnsupported);
  return session.error().message;
}
/// What is said of a node called y whose operands are x (float32), i (int64), m (bool) and z (complex64).
std::string refusal_of(const std::string& node) {
  const std::string text = refusal(fmt::format(R"(
    %x = Data() {{index = 0}} : f32[1, 2, 4, 4]
    %i = Data() {{index = 1}} : i64[4]
    %m = Data() {{index = 2}} : bool[4, 4]
    %z = Data() {{index = 3}} : c64[4]
    %y = {}
    %NetOutput = NetOutput(input0 = %y)
  )",
                                               node));
  const std::string start = "1 node cannot run: y: ";
  return text.starts_with(start) ? text.substr(start.size()) : text;
}

TEST(RuntimeCheck, OneErrorNamesAllOfAGraph) {
  const std::string text = refusal(R"(
    %x = Data() {index = 0} : f32[1, 2, 4, 4]
    %i = Data() {index = 1} : i64[2]
    %a = Frobnicate(x = %x) : f32[1, 2, 4, 4]
    %b = PadV3(x = %a, paddings = %i) {mode = "wrap", axis = 1} : f32[1, 2, 4, 4]
    %c = Conv2D(x = %b, filter = %x, offset_w = %x) {strides = 1.5, dilations = [1, 1, 1, 1]} : f32[1, 2, 4, 4]
    %d = Cast(x = %c) {dst_type = 13} : str[1, 2, 4, 4]
    %e = Relu(x = %x) : f32[1, 2, 4, 4]
    %NetOutput = NetOutput(input0 = %d, input1 = %e)
  )");
  EXPECT_EQ(text,
            "4 nodes cannot run: a: Frobnicate is not known to the runtime; "
            "b: PadV3 with the attribute 'axis', which its prototype does not have; b: PadV3 with mode \"wrap\"; "
            "c: Conv2D with 'strides' of another kind than in its prototype; c: Conv2D without the attribute 'pads'; "
            "c: Conv2D with the layout 'ND' on its input: it needs the layout NCHW or NCDHW here; c: Conv2D with the input 'offset_w'; "
            "d: Cast with elements of type DT_STRING; d: Cast with dst_type = DT_STRING");
}

TEST(RuntimeCheck, SlotsAreThoseOfThePrototype) {
  EXPECT_EQ(refusal_of("Sub(x2 = %x, x1 = %x) : f32[1, 2, 4, 4]"), "Sub with the input 'x1' out of its prototype's order");
  EXPECT_EQ(refusal_of("MatMulV2(x1 = %x, x2 = %x, scale = %x) : f32[4, 4]"),
            "MatMulV2 with the input 'scale', which its prototype does not have");
  EXPECT_EQ(refusal_of("Relu(x = %x, bound = %x) : f32[1, 2, 4, 4]"), "Relu with the input 'bound', which its prototype does not have");
  EXPECT_EQ(refusal_of("Cummax(x = %x) {dim = 0} : (indices = i64[1, 2, 4, 4])"),
            "Cummax with the output 'indices' out of its prototype's order");
  EXPECT_EQ(refusal_of("Relu(x = %x) : (y = f32[4], mask = bool[4])\n%n = LogicalNot(x = %y:1) : bool[4]"),
            "Relu with the output 1 'mask', which its prototype does not have");
  // Unread outputs, unfed inputs, other versions' names of required inputs, and notes are no demands.
  EXPECT_EQ(refusal_of("Relu(features = %x, bound = none) {_note = 1, nn_module_stack = \"a\"} : (y = f32[4], mask = bool[4])"), "");
}

TEST(RuntimeCheck, AttributesReadAlikeInAllTheirForms) {
  EXPECT_EQ(refusal_of("LeakyRelu(x = %x) {negative_slope = 1} : f32[1, 2, 4, 4]"), "");
  EXPECT_EQ(refusal_of("ArgMaxV2(x = %x, dimension = %i) {dtype = 9} : i64[1, 4, 4]"), "");
  EXPECT_EQ(refusal_of("ReduceSum(x = %x, axes = %i) {keep_dims = 1} : f32[1, 1, 1, 1]"), "");
  EXPECT_EQ(refusal_of("ArgMaxV2(x = %x, dimension = %i) {dtype = 77} : i64[1, 4, 4]"), "ArgMaxV2 with dtype = 77");
  EXPECT_EQ(refusal_of("ArgMaxV2(x = %x, dimension = %i) {dtype = 34359738377} : i64[1, 4, 4]"), "ArgMaxV2 with dtype = 34359738377");
  EXPECT_EQ(refusal_of("Bitcast(x = %x) {type = 28} : f32[1, 2, 4, 4]"), "Bitcast with type = DT_UNDEFINED");
  EXPECT_EQ(refusal_of("GeluV2(x = %x) {approximate = 1} : f32[1, 2, 4, 4]"),
            "GeluV2 with 'approximate' of another kind than in its prototype");
}

TEST(RuntimeCheck, AttributeValuesThatNoMappingComputes) {
  const std::string conv = "Conv2DV2(x = %x@NCHW, filter = %x) {strides = [1, 1, 1, 1], ";
  const std::string pool = "(x = %x@NCHW) {ksize = [1, 1, 2, 2], strides = [1, 1, 2, 2], pads = [0, 0, 0, 0], ";
  const std::string pool3 = "(x = %x@NCDHW) {ksize = [2, 2, 2], strides = [2, 2, 2], pads = [0, 0, 0], ";
  const std::string y = "} : f32[1, 2, 4, 4]";
  const std::string fused = "FusedInferAttentionScore(query = %x, key0 = %x, value0 = %x) {num_heads = 2, input_layout = \"BNSD\", ";
  const std::string flash = "FlashAttentionScore(query = %x, key = %x, value = %x) {head_num = 2, ";
  const std::string four = "} : (softmax_max = f32[4], softmax_sum = f32[4], softmax_out = f32[4], attention_out = f32[4])";
  const std::pair<std::string, std::string> cases[] = {
      {"GeluV2(x = %x) {approximate = \"erf\"" + y, "GeluV2 with approximate \"erf\""},
      {"Complex(real = %x, imag = %x) {Tout = 17} : c64[4]", "Complex with Tout = 17 for float32"},
      {"Complex(real = %x, imag = %x) {Tout = 77} : c64[4]", "Complex with Tout = 77; y: Complex with Tout = 77 for float32"},
      {"Conv2D(x = %x@NCHW, filter = %x) {strides = [1, 1, 1, 1], pads = [0, 0, 0, 0], pad_mode = 1.5" + y,
       "Conv2D with the attribute 'pad_mode', which its prototype does not have"},
      {"Imag(input = %z) {Tout = 11} : f32[4]", "Imag with Tout = 11 for complex64"},
      {"Angle(input = %z) {Tout = 11} : f32[4]", "Angle with Tout = 11 for complex64"},
      {"PadV3(x = %x, paddings = %i) {mode = \"\xF4\"" + y, "PadV3 with mode \"\\xf4\""},  // what is said is text
      {"PadV3(x = %x, paddings = %i) {mode = \"REFLECT\"" + y, "PadV3 with mode \"REFLECT\""},
      {"MirrorPad(x = %x, paddings = %i) {mode = \"reflect\"" + y, "MirrorPad with mode \"reflect\""},
      {"DepthToSpace(x = %x) {block_size = 2, mode = \"RCD\", data_format = \"NC1HWC0\"" + y,
       "DepthToSpace with mode \"RCD\"; y: DepthToSpace with data_format \"NC1HWC0\""},
      {"SpaceToDepth(x = %x) {block_size = 2, data_format = \"CHWN\"" + y, "SpaceToDepth with data_format \"CHWN\""},
      {"Range(start = %x, limit = %x, delta = %x) {is_closed = true" + y, "Range with is_closed"},
      {"Bitcast(x = %x) {type = 1, keep_dim = true} : f16[1, 2, 4, 8]", "Bitcast with keep_dim"},
      {"StridedSliceV2(x = %x, begin = %i, end = %i) {ellipsis_mask = 1, new_axis_mask = 2" + y,
       "StridedSliceV2 with ellipsis_mask = 1; y: StridedSliceV2 with new_axis_mask = 2"},
      {"Gather(x = %x, indices = %i) {is_preprocessed = true" + y, "Gather with is_preprocessed"},
      {"GatherV2(x = %x, indices = %i, axis = %i) {is_preprocessed = true" + y, "GatherV2 with is_preprocessed"},
      {"ScatterElements(data = %x, indices = %i, updates = %x) {reduction = \"amax\"" + y, "ScatterElements with reduction \"amax\""},
      {"ScatterElementsV2(var = %x, indices = %i, updates = %x) {reduction = \"add\", include_self = false} : (var = f32[4])",
       "ScatterElementsV2 without include_self"},
      {"Scatter(var = %x, indices = %i, updates = %x) {reduce = \"add\"} : (var = f32[4])", "Scatter with reduce \"add\""},
      {"UniqueConsecutive(x = %x) {axis = 0} : (y = f32[-1], idx = i64[-1], count = i64[-1])", "UniqueConsecutive with axis = 0"},
      {"MatMulV2(x1 = %x, x2 = %x) {offset_x = 3" + y, "MatMulV2 with offset_x = 3"},
      {conv + "offset_x = 1, pad_mode = \"SAME\"" + y, "Conv2DV2 with offset_x = 1; y: Conv2DV2 with pad_mode \"SAME\""},
      {"Conv2D(x = %x@NHWC, filter = %x@NHWC) {strides = [1, 1, 1, 1], pads = [0, 0, 0, 0]" + y,
       "Conv2D with the layout 'NHWC' on its input: it needs the layout NCHW or NCDHW here; "
       "y: Conv2D with a filter whose layout has the channels last"},
      {"Conv2DTranspose(input_size = %i, x = %x, filter = %x) {strides = [1, 1, 1, 1], pads = [0, 0, 0, 0]" + y,
       "Conv2DTranspose with the layout 'ND' on its input: it needs the layout NCHW or NCDHW here"},
      {"MaxPoolV3" + pool + "padding_mode = \"HALF\"" + y, "MaxPoolV3 with padding_mode \"HALF\""},
      {"MaxPool3D" + pool3 + "padding = \"HALF\"" + y, "MaxPool3D with padding \"HALF\""},
      {"AvgPoolV2" + pool + "padding_mode = \"same\"" + y, "AvgPoolV2 with padding_mode \"same\""},
      {"MaxPoolWithArgmaxV3" + pool + "data_format = \"NHWC\"} : (y = f32[4], argmax = i32[4])",
       "MaxPoolWithArgmaxV3 with data_format \"NHWC\""},
      {"MaxPool3DWithArgmaxV2" + pool3 + "data_format = \"NDHWC\"} : (y = f32[4], argmax = i32[4])",
       "MaxPool3DWithArgmaxV2 with data_format \"NDHWC\""},
      {"MaxPoolWithArgmaxV1" + pool + "dtype = 9} : (y = f32[4], argmax = i64[4])\n%n = Neg(x = %y:1) : i64[4]",
       "MaxPoolWithArgmaxV1 with dtype = 9"},
      {"AdaptiveAvgPool3d(x = %x) {output_size = [1, 1, 1]" + y, "AdaptiveAvgPool3d with data_format \"NDHWC\""},
      {"GroupNorm(x = %x@NHWC, gamma = %x, beta = %x) {num_groups = 1, data_format = \"NHWC\"} : (y = f32[4], mean = f32[4], variance = "
       "f32[4])",
       "GroupNorm with data_format \"NHWC\"; y: GroupNorm with the layout NHWC on its input"},
      {"InstanceNorm(x = %x@NHWC, gamma = %x, beta = %x) : (y = f32[4], mean = f32[4], variance = f32[4])",
       "InstanceNorm with the layout NHWC on its input"},
      {"BNInfer(x = %x@NHWC, scale = %x, offset = %x, mean = %x, variance = %x) {epsilon = 0.1" + y,
       "BNInfer with the layout 'NHWC' on its input: it needs the layout NCHW or NCDHW here"},
      {"ResizeNearestNeighborV2(x = %x@NCHW, size = %i) {scales = [0.0, 2.5]" + y, "ResizeNearestNeighborV2 with scales = [0, 2.5]"},
      {"Im2col(x = %x@NCHW) {ksizes = [2, 2], padding_mode = \"HALF\"" + y, "Im2col with padding_mode \"HALF\""},
      {"EmbeddingBag(weight = %x, indices = %i) {mode = \"min\"} : (y = f32[4], offset2bag = i64[4], bag_size = i64[4], max_indices = "
       "i64[4])",
       "EmbeddingBag with mode \"min\""},
      {"LpLoss(predict = %x, label = %x) {p = 2, reduction = \"batchmean\"" + y,
       "LpLoss with reduction \"batchmean\"; y: LpLoss with p = 2"},
      {"KLDivV2(x = %x, target = %x) {reduction = \"max\"" + y, "KLDivV2 with reduction \"max\""},
      {"NLLLoss(x = %x, target = %i) {reduction = \"max\"} : (y = f32[], total_weight = f32[])", "NLLLoss with reduction \"max\""},
      {"RotaryPositionEmbedding(x = %x, cos = %x, sin = %x) {mode = 4" + y, "RotaryPositionEmbedding with mode = 4"},
      {"ApplyRotaryPosEmb(query = %x, key = %x, cos = %x, sin = %x) {rotary_mode = \"odd\"} : (query = f32[4], key = f32[4])",
       "ApplyRotaryPosEmb with rotary_mode \"odd\""},
      {fused + "sparse_mode = 5, pse_type = 2, out_dtype = 1} : (attention_out = f32[4], softmax_lse = f32[1])",
       "FusedInferAttentionScore with sparse_mode = 5; y: FusedInferAttentionScore with pse_type = 2; "
       "y: FusedInferAttentionScore with out_dtype = 1"},
      {flash + "input_layout = \"TND\", sparse_mode = 7, keep_prob = 0.5" + four,
       "FlashAttentionScore with input_layout \"TND\"; y: FlashAttentionScore with sparse_mode = 7; "
       "y: FlashAttentionScore with keep_prob = 0.5"},
      {"HcomAllReduce(x = %x) {reduction = \"avg\", group = \"g\"" + y, "HcomAllReduce with reduction \"avg\""},
      {"HcomReduceScatter(x = %z) {reduction = \"min\", group = \"g\", rank_size = 2} : c64[2]",
       "HcomReduceScatter with reduction \"min\" of complex64"},
  };
  for (const auto& [node, what] : cases) EXPECT_EQ(refusal_of(node), what) << node;
}

TEST(RuntimeCheck, FedInputsThatNoMappingReads) {
  const std::string y = " : f32[1, 2, 4, 4]";
  const std::string sizes = " {strides = [1, 1, 1, 1], pads = [0, 0, 0, 0]}" + y;
  const std::string three = " {strides = [1, 1, 1], pads = [0, 0, 0, 0, 0, 0]}" + y;
  const std::string heads = " {num_heads = 2, input_layout = \"BNSD\"} : (attention_out = f32[4])";
  const std::pair<std::string, std::string> cases[] = {
      {"MatMulV2(x1 = %x, x2 = %x, offset_w = %x)" + y, "offset_w"},
      {"MatMulV3(x1 = %x, x2 = %x, offset_w = %x)" + y, "offset_w"},
      {"BatchMatMulV2(x1 = %x, x2 = %x, bias = %x, offset_w = %x)" + y, "offset_w"},
      {"BatchMatMulV3(x1 = %x, x2 = %x, offset_w = %x)" + y, "offset_w"},
      {"Conv2D(x = %x@NCHW, filter = %x, offset_w = %x)" + sizes, "offset_w"},
      {"Conv2DV2(x = %x@NCHW, filter = %x, offset_w = %x)" + sizes, "offset_w"},
      {"Conv3D(x = %x@NCDHW, filter = %x, offset_w = %x)" + three, "offset_w"},
      {"Conv2DTranspose(input_size = %i, x = %x@NCHW, filter = %x, offset_w = %x)" + sizes, "offset_w"},
      {"Conv3DTranspose(input_size = %i, x = %x@NCDHW, filter = %x, offset_w = %x)" + three, "offset_w"},
      {"RotaryPositionEmbedding(x = %x, cos = %x, sin = %x, rotate = %x)" + y, "rotate"},
      {"FusedInferAttentionScore(query = %x, key0 = %x, value0 = %x, block_table = %i)" + heads, "block_table"},
      {"FusedInferAttentionScore(query = %x, key0 = %x, value0 = %x, atten_mask = %m, query_rope = %x)" + heads, "query_rope"},
      {"FusedInferAttentionScore(query = %x, key0 = %x, value0 = %x, learnable_sink = %x)" + heads, "learnable_sink"},
      {"PromptFlashAttention(query = %x, key = %x, value = %x, deq_scale1 = %x)" + heads, "deq_scale1"},
      {"IncreFlashAttention(query = %x, key0 = %x, value0 = %x, kv_padding_size = %i)" + heads, "kv_padding_size"},
      {"FlashAttentionScore(query = %x, key = %x, value = %x, padding_mask = %x) {head_num = 2, input_layout = \"BNSD\"}"
       " : (softmax_max = f32[4], softmax_sum = f32[4], softmax_out = f32[4], attention_out = f32[4])",
       "padding_mask"},
  };
  for (const auto& [node, input] : cases)
    EXPECT_EQ(refusal_of(node), fmt::format("{} with the input '{}'", node.substr(0, node.find('(')), input)) << node;
  EXPECT_EQ(refusal_of("FusedInferAttentionScore(query = %x, key0 = %x, key1 = %x, value0 = %x, value1 = %x)" + heads),
            "FusedInferAttentionScore with more or less than one key; y: FusedInferAttentionScore with more or less than one value");
  EXPECT_EQ(refusal_of("EmbeddingBag(weight = %x, indices = %i, offsets = %i, per_sample_weights = %x)"
                       " : (y = f32[4], offset2bag = i64[4], bag_size = i64[4], max_indices = i64[4])"),
            "EmbeddingBag with per_sample_weights outside mode \"sum\"");
}

TEST(RuntimeCheck, WhatIsNotRefusedIsComputed) {
  expect(R"(
    %x = Data() {index = 0} : f32[2]
    %y = Data() {index = 1} : f32[1]
    %n = IdentityN(x0 = %x, x1 = %y) : (y0 = f32[2], y1 = f32[1])
    %NetOutput = NetOutput(input0 = %n:0, input1 = %n:1)
  )",
         {f32({2}, {1, 2}), f32({1}, {3})}, {{{2}, {1, 2}}, {{1}, {3}}});
  expect(R"(
    %x = Data() {index = 0} : f32[3]
    %i = Const() {value = i64[1] [1]} : i64[1]
    %v = Const() {value = f32[1] [7.0]} : f32[1]
    %y = IndexFill(x = %x, indices = %i, val = %v) {dim = 0} : f32[3]
    %NetOutput = NetOutput(input0 = %y)
  )",
         {f32({3}, {1, 2, 3})}, {{{3}, {1, 7, 3}}});
  // Scales of two dimensions where one is normalised.
  expect(R"(
    %x = Data() {index = 0} : f32[1, 2, 2]
    %g = Const() {value = f32[2, 2] [1.0, 2.0, 3.0, 4.0]} : f32[2, 2]
    %b = Const() {value = f32[2, 2] [0.0, 0.0, 10.0, 10.0]} : f32[2, 2]
    %y = LayerNorm(x = %x, gamma = %g, beta = %b) {begin_norm_axis = 2, begin_params_axis = 1, epsilon = 0.0} : (y = f32[1, 2, 2], mean = f32[1, 2, 1], variance = f32[1, 2, 1])
    %NetOutput = NetOutput(input0 = %y:0)
  )",
         {f32({1, 2, 2}, {-1, 1, 0, 2})}, {{{1, 2, 2}, {-1, 2, 7, 14}}});
  expect(R"(
    %x = Data() {index = 0} : f32[1, 1, 1, 2]
    %y = AdaptiveMaxPool3d(x = %x) {output_size = [1, 1, 1], indices_dtype = 9} : (y = f32[1, 1, 1, 1], indices = i64[1, 1, 1, 1])
    %NetOutput = NetOutput(input0 = %y:0, input1 = %y:1)
  )",
         {f32({1, 1, 1, 2}, {3, 5})}, {{{1, 1, 1, 1}, {5}}, {{1, 1, 1, 1}, {1}}});
  // Of two query rows and three keys one and two are valid: the corner of the mask is theirs, row 0 sees keys 0 and 1.
  expect(R"(
    %q = Data() {index = 0} : f32[1, 1, 2, 1]
    %v = Const() {value = f32[1, 1, 3, 1] [1.0, 3.0, 9.0]} : f32[1, 1, 3, 1]
    %k = Const() {value = f32[1, 1, 3, 1] [0.0, 0.0, 0.0]} : f32[1, 1, 3, 1]
    %one = Const() {value = i64[1] [1]} : i64[1]
    %two = Const() {value = i64[1] [2]} : i64[1]
    %m = Const() {value = bool[1, 1] [false]} : bool[1, 1]
    %y = FusedInferAttentionScore(query = %q, key0 = %k, value0 = %v, atten_mask = %m, actual_seq_lengths = %one, actual_seq_lengths_kv = %two) {num_heads = 1, input_layout = "BNSD", sparse_mode = 3} : (attention_out = f32[1, 1, 2, 1], softmax_lse = f32[1])
    %NetOutput = NetOutput(input0 = %y:0)
  )",
         {f32({1, 1, 2, 1}, {0, 0})}, {{{1, 1, 2, 1}, {2, 2}}});
}

}  // namespace
}  // namespace airloom::runtime::testing
