// What mutations write into models: names of operators, and attributes with their types. make_corpus writes the same
// words as libFuzzer's dictionary (model.dict).
#ifndef LORAC_TEST_FUZZ_WORDS_H
#define LORAC_TEST_FUZZ_WORDS_H

// clang-format off
#define FUZZ_OPERATORS(X)                                                                                              \
    X("Add") X("Abs") X("ArgMax") X("AveragePool") X("BatchNormalization") X("Cast") X("CastLike") X("Clip")           \
    X("Concat") X("Constant") X("ConstantOfShape") X("Conv") X("ConvInteger") X("DequantizeLinear") X("Div")           \
    X("Dropout") X("Elu") X("Equal") X("Erf") X("Exp") X("Expand") X("Flatten") X("Floor") X("Gather") X("Gelu")       \
    X("Gemm") X("GlobalAveragePool") X("GlobalMaxPool") X("GroupNormalization") X("HardSigmoid") X("HardSwish")        \
    X("Identity") X("If") X("InstanceNormalization") X("LeakyRelu") X("LogSoftmax") X("MatMul") X("Max")               \
    X("MaxPool") X("Min") X("Mul") X("Neg") X("PRelu") X("Pad") X("Pow") X("QLinearConv") X("QuantizeLinear")          \
    X("Range") X("ReduceMax") X("ReduceMean") X("ReduceSum") X("Relu") X("Reshape") X("Resize") X("Shape")             \
    X("Sigmoid") X("Size") X("Slice") X("Softmax") X("Softplus") X("Split") X("Sqrt") X("Squeeze") X("Sub")            \
    X("Sum") X("Tanh") X("Tile") X("Transpose") X("Unsqueeze") X("Upsample") X("Where") X("Celu")                      \
    X("DepthToSpace") X("SpaceToDepth") X("LayerNormalization") X("Log") X("Mish") X("Reciprocal") X("ReduceL2")       \
    X("ReduceMin") X("ReduceSumSquare") X("Selu") X("Swish") X("ThresholdedRelu") X("LpNormalization") X("Ceil")       \
    X("Round") X("Greater") X("Less") X("GreaterOrEqual") X("LessOrEqual") X("And") X("Or") X("Not") X("Xor")          \
    X("Mod") X("Block") X("Act")

// name, type of Onnx__AttributeProto
#define FUZZ_ATTRIBUTES(X)                                                                                             \
    X("allowzero", INT) X("alpha", FLOAT) X("approximate", STRING) X("auto_pad", STRING) X("axes", INTS)               \
    X("axis", INT) X("blocksize", INT) X("beta", FLOAT) X("ceil_mode", INT)                                            \
    X("coordinate_transformation_mode", STRING) X("count_include_pad", INT) X("dilations", INTS) X("ends", INTS)       \
    X("epsilon", FLOAT) X("gamma", FLOAT) X("group", INT) X("keepdims", INT) X("kernel_shape", INTS)                   \
    X("max", FLOAT) X("min", FLOAT) X("mode", STRING) X("momentum", FLOAT) X("nearest_mode", STRING)                   \
    X("noop_with_empty_axes", INT) X("num_groups", INT) X("num_outputs", INT) X("pads", INTS) X("perm", INTS)          \
    X("ratio", FLOAT) X("scales", FLOATS) X("shape", INTS) X("spatial", INT) X("split", INTS) X("start", INT)          \
    X("starts", INTS) X("storage_order", INT) X("strides", INTS) X("to", INT) X("training_mode", INT)                  \
    X("transA", INT) X("transB", INT) X("value", TENSOR) X("value_float", FLOAT) X("value_floats", FLOATS)             \
    X("value_int", INT) X("value_ints", INTS)

#define FUZZ_STRINGS(X)                                                                                                \
    X("SAME_UPPER") X("SAME_LOWER") X("VALID") X("NOTSET") X("constant") X("reflect") X("edge") X("linear")            \
    X("nearest") X("cubic") X("half_pixel") X("asymmetric") X("align_corners") X("tanh") X("none") X("ai.onnx")        \
    X("com.vendor") X("local") X("lorac.format") X("lorac.adapters") X("lorac.trainable") X("lorac.bn")                \
    X("lorac.seed") X("lorac.input") X("lorac.output") X("lorac.classes") X("lorac.base_hash") X("lorac.tool")         \
    X("location") X("offset") X("length") X("x") X("")

// clang-format on
#endif
