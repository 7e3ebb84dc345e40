// Constant arithmetic: each row is a small graph of constants (tests/ref/graph.h) and what its last value is, written
// as type, dims and elements; or the reason why it is refused.
#include "check.h"
#include "ref/graph.h"
#include "proto/constant.h"
#include "proto/model_edit.h"
#include "proto/tensor.h"

#include <inttypes.h>

struct row {
    const char *text, *expect;
};

static const struct row rows[] = {
    // Shape and Gather: what exporters make of x.view(x.size(0), -1)
    {"y=Shape(d[2,3,5,7])", "int64[4] 2 3 5 7"},
    {"y=Shape(d[2,3,5,7]) start=1", "int64[3] 3 5 7"},
    {"y=Shape(d[2,3,5,7]) start=-3 end=-1", "int64[2] 3 5"},
    {"y=Shape(d[2,3,5,7]) start=3 end=1", "int64[0]"},
    {"y=Shape(d[2,3]) start=-9 end=9", "int64[2] 2 3"},
    {"y=Shape(d<1.0>)", "int64[0]"},
    {"s=Shape(d[2,3,5,7]); y=Gather(s, i{0}[])", "int64[] 2"},
    {"s=Shape(d[2,3,5,7]); y=Gather(s, i{-1}[])", "int64[] 7"},
    {"y=Gather(d{10,20,30}, i{2,0,-2})", "int64[3] 30 10 20"},
    {"y=Gather(d{1,2,3,4,5,6}[2,3], i{1})", "int64[1,3] 4 5 6"},
    {"y=Gather(d{1,2,3,4,5,6}[2,3], i{2,0}[1,2]) axis=1", "int64[2,1,2] 3 1 6 4"},
    {"y=Gather(d{1,2,3,4,5,6}[2,3], i{0}[]) axis=-1", "int64[2] 1 4"},
    {"y=Gather(d<0.5,1.5,2.5>, i{1}[])", "float[] 1.5"},
    {"y=Gather(d{1,2,3}, i{3})", "refused: node 'n_y' (Gather): an index is outside the axis"},
    {"y=Gather(d{1,2,3}, i{-4})", "refused: an index is outside"},
    {"y=Gather(d{1,2,3}, i{0}) axis=1", "refused: axis outside the rank"},

    // Unsqueeze and Squeeze, axes as attribute (before opset 13) and as input
    {"y=Unsqueeze(d{5}[]) axes=[0]", "int64[1] 5"},
    {"y=Unsqueeze(d{5}[], a{0})", "int64[1] 5"},
    {"y=Unsqueeze(d{5,6}, a{0,2})", "int64[1,2,1] 5 6"},
    {"y=Unsqueeze(d{5,6}, a{-1})", "int64[2,1] 5 6"},
    {"y=Unsqueeze(d{5,6}, a{1,1})", "refused: n_y"},
    {"y=Unsqueeze(d{5,6}, a{3})", "refused: n_y"},
    {"y=Squeeze(d{5}[1,1,1])", "int64[] 5"},
    {"y=Squeeze(d{5,6}[1,2,1])", "int64[2] 5 6"},
    {"y=Squeeze(d{5,6}[1,2,1]) axes=[2]", "int64[1,2] 5 6"},
    {"y=Squeeze(d{5,6}[1,2,1], a{0})", "int64[2,1] 5 6"},
    {"y=Squeeze(d{5,6}[1,2,1], a{-3,-1})", "int64[2] 5 6"},
    {"y=Squeeze(d{5,6}[1,2,1], a{1})", "refused: n_y"},

    {"y=Concat(a{1}, b{-1}) axis=0", "int64[2] 1 -1"},
    {"y=Concat(a{1,2}[1,2], b{3,4}[1,2], c{5,6}[1,2]) axis=0", "int64[3,2] 1 2 3 4 5 6"},
    {"y=Concat(a{1,2}[2,1], b{3,4,5,6}[2,2]) axis=-1", "int64[2,3] 1 3 4 2 5 6"},
    {"y=Concat(a<1.5>[1], b<2.5,3.5>) axis=0", "float[3] 1.5 2.5 3.5"},
    {"y=Concat(a{1,2}[2,1], b{3,4,5}[3,1]) axis=1", "refused: n_y"},
    {"y=Concat(a{1,2}, b{3,4}[1,2]) axis=0", "refused: n_y"},
    {"y=Concat(a{1}, b{2}) axis=1", "refused: axis outside the rank"},

    // Cast truncates towards zero; types 1 float, 6 int32, 7 int64, 9 bool, 11 double
    {"y=Cast(d<1.75,-1.75,0.>) to=7", "int64[3] 1 -1 0"},
    {"y=Cast(d<1.75,-1.75,0.>) to=6", "int32[3] 1 -1 0"},
    {"y=Cast(d<0.25,0.,-3.>) to=9", "bool[3] 1 0 1"},
    {"y=Cast(d{3,0,-2}) to=9", "bool[3] 1 0 1"},
    {"y=Cast(d{3,-2}) to=1", "float[2] 3 -2"},
    {"y=Cast(d{16777217}) to=1", "float[1] 16777216"},
    {"y=Cast(d{16777217}) to=11", "double[1] 16777217"},
    {"y=Cast(d<1e30>) to=7", "refused: n_y"},
    {"y=Cast(d<1.0>) to=8", "refused: n_y"},

    {"y=ConstantOfShape(s{3})", "float[3] 0 0 0"},
    {"y=ConstantOfShape(s{2,2}) value={7}", "int64[2,2] 7 7 7 7"},
    {"y=ConstantOfShape(s{2}) value=<0.5>[1]", "float[2] 0.5 0.5"},
    {"y=ConstantOfShape(s{0}) value={7}", "int64[0]"},
    {"y=ConstantOfShape(s{-1}) value={7}", "refused: negative"},
    {"y=ConstantOfShape(s{2}) value={7,8}", "refused: n_y"},

    // Slice: attributes up to opset 9, inputs after
    {"y=Slice(d{0,1,2,3,4}) starts=[1] ends=[3]", "int64[2] 1 2"},
    {"y=Slice(d{0,1,2,3,4}) starts=[-2] ends=[9223372036854775807]", "int64[2] 3 4"},
    {"y=Slice(d{1,2,3,4,5,6}[2,3]) starts=[1] ends=[3] axes=[1]", "int64[2,2] 2 3 5 6"},
    {"y=Slice(d{0,1,2,3,4}, s{1}, e{max})", "int64[4] 1 2 3 4"},
    {"y=Slice(d{0,1,2,3,4}, s{min}, e{max})", "int64[5] 0 1 2 3 4"},
    {"y=Slice(d{0,1,2,3,4}, s{-1}, e{min}, a{0}, t{-1})", "int64[5] 4 3 2 1 0"},
    {"y=Slice(d{0,1,2,3,4}, s{max}, e{min}, a{0}, t{-2})", "int64[3] 4 2 0"},
    {"y=Slice(d{0,1,2,3,4}, s{3}, e{0}, a{0}, t{-1})", "int64[3] 3 2 1"},
    {"y=Slice(d{0,1,2,3,4}, s{0}, e{5}, a{0}, t{2})", "int64[3] 0 2 4"},
    {"y=Slice(d{0,1,2,3,4}, s{0}, e{4}, a{0}, t{2})", "int64[2] 0 2"},
    {"y=Slice(d{0,1,2,3,4}, s{0}, e{5}, a{-1}, t{3})", "int64[2] 0 3"},
    {"y=Slice(d{0,1,2,3,4}, s{4}, e{2})", "int64[0]"},
    {"y=Slice(d{0,1,2,3,4}, s{7}, e{9})", "int64[0]"},
    {"y=Slice(d{0,1,2,3,4}, s{0}, e{-1})", "int64[4] 0 1 2 3"},
    {"y=Slice(d{0,1,2,3,4}, s{0}, e{5}, a{0}, t{max})", "int64[1] 0"},
    {"y=Slice(d{0,1,2,3,4}, s{4}, e{min}, a{0}, t{-9})", "int64[1] 4"},
    {"y=Slice(d{1,2,3,4,5,6,7,8}[2,2,2], s{0,1}, e{1,2}, a{2,0})", "int64[1,2,1] 5 7"},
    {"y=Slice(d{1,2,3,4,5,6}[2,3], s{1,2}, e{min,min}, a{0,1}, t{-1,-1})", "int64[2,3] 6 5 4 3 2 1"},
    {"y=Slice(d{0,1,2}, s{0}, e{3}, a{0}, t{0})", "refused: n_y"},
    {"y=Slice(d{0,1,2}, s{0}, e{3}, a{1})", "refused: n_y"},
    {"y=Slice(d{0,1,2}, s{0,1}, e{3})", "refused: n_y"},

    {"y=Reshape(d{1,2,3,4,5,6}, s{2,3})", "int64[2,3] 1 2 3 4 5 6"},
    {"y=Reshape(d{1,2,3,4,5,6}, s{-1,2})", "int64[3,2] 1 2 3 4 5 6"},
    {"y=Reshape(d{1,2,3,4,5,6}[2,3], s{0,-1,1})", "int64[2,3,1] 1 2 3 4 5 6"},
    {"y=Reshape(d{1,2,3,4,5,6}[2,3], s{-1})", "int64[6] 1 2 3 4 5 6"},
    {"y=Reshape(d{7}[1,1], s{}[0])", "int64[] 7"},
    {"y=Reshape(d{}[0,3], s{0,5}) allowzero=1", "int64[0,5]"},
    {"y=Reshape(d{}[0,3], s{3,0})", "refused: n_y"},
    {"y=Reshape(d{1,2,3,4}, s{-1,-1})", "refused: n_y"},
    {"y=Reshape(d{1,2,3,4}, s{3,-1})", "refused: n_y"},
    {"y=Reshape(d{1,2,3,4}, s{5})", "refused: n_y"},
    {"y=Reshape(d{1,2,3,4}, s{1,0})", "refused: n_y"},
    {"y=Reshape(d{1,2,3,4}, s{-2,-2})", "refused: n_y"},

    {"y=Transpose(d{1,2,3,4,5,6}[2,3])", "int64[3,2] 1 4 2 5 3 6"},
    {"y=Transpose(d{1,2,3,4,5,6}[1,2,3]) perm=[2,0,1]", "int64[3,1,2] 1 4 2 5 3 6"},
    {"y=Transpose(d{1,2,3,4,5,6}[1,2,3]) perm=[1,2,0]", "int64[2,3,1] 1 2 3 4 5 6"},
    {"y=Transpose(d{1,2}[1,2]) perm=[0,0]", "refused: n_y"},
    {"y=Transpose(d{1,2}[1,2]) perm=[0]", "refused: n_y"},

    {"y=Add(a{1,2,3}, b{10}[])", "int64[3] 11 12 13"},
    {"y=Add(a{1,2}[2,1], b{10,20,30})", "int64[2,3] 11 21 31 12 22 32"},
    {"y=Sub(a{1,2,3}, b{3,2,1})", "int64[3] -2 0 2"},
    {"y=Mul(a{1,2,3,4}[2,2], b{10,100})", "int64[2,2] 10 200 30 400"},
    {"y=Div(a{7,-7,7,-7}, b{2,2,-2,-2})", "int64[4] 3 -3 -3 3"},
    {"y=Div(a{6}, b{0})", "refused: zero"},
    {"y=Div(a{min}, b{-1})", "refused: n_y"},
    {"y=Add(a{max}, b{1})", "int64[1] -9223372036854775808"},
    {"y=Div(a<1.0>, b<4.0>)", "float[] 0.25"},
    {"y=Mul(a<0.5,1.5>, b<2.0>)", "float[2] 1 3"},
    {"y=Add(a<16777216.0>, b<1.0>)", "float[] 16777216"},
    {"y=Sub(a<1.0>, b{1}[])", "refused: n_y"},
    {"y=Add(a{1,2}, b{1,2,3})", "refused: n_y"},

    {"y=Identity(d{1,2}[2,1])", "int64[2,1] 1 2"},
    {"y=MatMul(a<1.,2.,3.,4.,5.,6.>[2,3], b<1.,0.,2.,1.,0.,3.>[3,2])", "float[2,2] 5 11 14 23"},
    {"y=MatMul(a<1.,2.>[1,2], b<1.,2.,3.>[3,1])", "refused: n_y"},
    {"s=Shape(d[3,5,4,4]); b=Gather(s, i{0}[]); u=Unsqueeze(b, a{0}); y=Concat(u, m{-1}) axis=0", "int64[2] 3 -1"},
    {"s=Shape(d[1,2,1,1]); t=Slice(s, b{1}, e{2}); h=Div(t, two{2}); z=ConstantOfShape(h) value={9}; "
     "y=Concat(z, t) axis=0",
     "int64[2] 9 2"},
    {"y=Sin(d<-1.0>)", "refused: n_y"},

    // types as numbers: 1 float, 2 uint8, 3 int8, 5 int16, 6 int32, 7 int64, 9 bool, 10 float16, 11 double, 16 bfloat16
    {"y=Cast(d{300,-1,128}) to=3", "int8[3] 44 -1 -128"},
    {"y=Cast(d{300,-1,128}) to=2", "uint8[3] 44 255 128"},
    {"y=Cast(d{40000}) to=5", "int16[1] -25536"},
    {"y=Cast(d<127.9,-128.>) to=3", "int8[2] 127 -128"},
    {"y=Cast(d<128.>) to=3", "refused: node 'n_y' (Cast): a value does not fit"},
    {"y=Cast(d<-1.>) to=2", "refused: does not fit"},
    {"y=Cast(d<2049.,65519.,65520.,0.1>) to=10", "float16[4] 2048 65504 inf 0.0999755859375"},
    {"y=Cast(d<257.,0.1>) to=16", "bfloat16[2] 256 0.10009765625"},
    {"h=Cast(d<0.1>) to=10; y=Cast(h) to=1", "float[] 0.0999755859375"},
    {"a=Cast(d<1.>) to=10; b=Cast(e<0.0001>) to=10; y=Add(a, b)", "float16[] 1"},
    {"y=CastLike(a<2.75,-1.>, b{7})", "int64[2] 2 -1"},
    {"y=CastLike(a{3}, b<7.0>)", "float[1] 3"},

    {"y=Constant() value_float=0.5", "float[] 0.5"},
    {"y=Constant() value_int=-3", "int64[] -3"},
    {"y=Constant() value_ints=[4,5]", "int64[2] 4 5"},
    {"y=Constant() value={7,8}[2,1]", "int64[2,1] 7 8"},
    {"y=Constant() value_string=TEXT", "refused: node 'n_y' (Constant): a constant of strings"},
    {"y=Constant() something=1", "refused: it has no value"},

    // (x - zero_point) * scale
    {"q=Cast(d{-128,0,127}) to=3; y=DequantizeLinear(q, s<0.5>)", "float[3] -64 0 63.5"},
    {"q=Cast(d{0,128,255}) to=2; z=Cast(o{128}[]) to=2; y=DequantizeLinear(q, s<0.25>, z)", "float[3] -32 0 31.75"},
    {"q=Cast(d{1,2,3,4}[2,2]) to=3; y=DequantizeLinear(q, s<0.5,2.>)", "float[2,2] 0.5 4 1.5 8"},
    {"q=Cast(d{1,2,3,4}[2,2]) to=3; y=DequantizeLinear(q, s<0.5,2.>) axis=0", "float[2,2] 0.5 1 6 8"},
    {"q=Cast(d{1,2,3,4}[2,2]) to=3; y=DequantizeLinear(q, s<0.5,2.>) axis=-2", "float[2,2] 0.5 1 6 8"},
    {"q=Cast(d{1,2,3,4}[2,2]) to=3; z=Cast(o{1,0}) to=3; y=DequantizeLinear(q, s<0.5,2.>, z) axis=0",
     "float[2,2] 0 0.5 6 8"},
    {"q=Cast(d{1000000}) to=6; y=DequantizeLinear(q, s<0.001>)", "float[1] 1000.0000610351562"},
    {"q=Cast(d{7,9}) to=3; t=Cast(s<0.1>) to=10; y=DequantizeLinear(q, t)", "float16[2] 0.69970703125 0.89990234375"},
    {"q=Cast(d{1,2,3,4,5}[1,5]) to=3; y=DequantizeLinear(q, s<1.,10.,100.>[1,3]) axis=1 block_size=2",
     "float[1,5] 1 2 30 40 500"},
    {"q=Cast(d{-8,7,9,-1}) to=22; y=DequantizeLinear(q, s<0.5>)", "float[4] -4 3.5 -3.5 -0.5"},
    {"q=Cast(d{15,0,17}) to=21; z=Cast(o{8}[]) to=21; y=DequantizeLinear(q, s<0.5>, z)", "float[3] 3.5 -4 -3.5"},
    {"q=Cast(d{1,2,3,4}[2,2]) to=22; y=DequantizeLinear(q, s<0.5,2.>) axis=0", "float[2,2] 0.5 1 6 8"},
    {"q=Cast(d{1,2,3,4,5}[1,5]) to=21; y=DequantizeLinear(q, s<1.,10.,100.>[1,3]) axis=1 block_size=2",
     "float[1,5] 1 2 30 40 500"},
    {"q=Cast(d{1,2,-2}) to=26; y=DequantizeLinear(q, s<1.>)", "float[3] 1 -2 -2"},
    {"q=Cast(d<1.,-9.>) to=22", "refused: a value does not fit"},
    {"z=Cast(o{0}[]) to=22; y=QuantizeLinear(d<0.5,1.5,-9.,9.>, s<1.>, z)", "int4[4] 0 2 -8 7"},
    {"q=Cast(d{1,2,3,4}[2,2]) to=3; y=DequantizeLinear(q, s<1.,10.,100.>) axis=1", "refused: the scale does not"},
    {"q=Cast(d{1,2}[1,2]) to=3; y=DequantizeLinear(q, s<1.,10.>) axis=2", "refused: axis outside"},
    {"q=Cast(d{1,2}) to=3; z=Cast(o{1}[]) to=2; y=DequantizeLinear(q, s<1.>, z)", "refused: one integer type"},
    {"y=DequantizeLinear(d{1,2}, s<1.>)", "refused: one integer type"},
    {"z=Cast(o{0}[]) to=3; y=QuantizeLinear(d<0.5,1.5,2.5,-300.,300.>, s<1.>, z)", "int8[5] 0 2 2 -128 127"},
    {"y=QuantizeLinear(d<1.,-1.>, s<0.5>)", "uint8[2] 2 0"},

    {"y=Expand(d{1,2}[2,1], s{2,3})", "int64[2,3] 1 1 1 2 2 2"},
    {"y=Expand(d{1,2}, s{2,1})", "int64[2,2] 1 2 1 2"},
    {"y=Expand(d{1,2}[2,1], s{1})", "int64[2,1] 1 2"},
    {"y=Expand(d{1,2}, s{3})", "refused: the shape does not fit"},
    {"y=Expand(d{1}, s{-1})", "refused: negative"},
    {"y=Expand(d{1}, s{1073741824})", "refused: node 'n_y' (Expand): it makes 1073741824 elements of 1"},
    {"y=ConstantOfShape(s{max})", "refused: it makes"},
    {"y=ConstantOfShape(s{max,max})", "refused: overflow"},
    {"y=Tile(d{1,2,3,4}[2,2], r{1,2})", "int64[2,4] 1 2 1 2 3 4 3 4"},
    {"y=Tile(d{1,2}, r{3})", "int64[6] 1 2 1 2 1 2"},
    {"y=Tile(d{1,2}[2,1], r{2,2})", "int64[4,2] 1 1 2 2 1 1 2 2"},
    {"y=Tile(d{1,2}, r{0})", "int64[0]"},
    {"y=Tile(d{1,2}, r{1,1})", "refused: repeats"},
    {"y=Tile(d{1,2}, r{max})", "refused: too large"},

    {"y=Range(a{0}[], b{10}[], c{3}[])", "int64[4] 0 3 6 9"},
    {"y=Range(a{5}[], b{0}[], c{-2}[])", "int64[3] 5 3 1"},
    {"y=Range(a{5}[], b{5}[], c{1}[])", "int64[0]"},
    {"y=Range(a{min}[], b{max}[], c{max}[])", "int64[3] -9223372036854775808 -1 9223372036854775806"},
    {"y=Range(a{min}[], b{max}[], c{1}[])", "refused: too many"},
    {"y=Range(a{0}[], b{8388609}[], c{1}[])", "refused: makes 8388609 elements of 1"},
    {"y=Expand(a<1.>, b{2049,4096})", "refused: makes 8392704 elements of 2"},
    {"y=ConstantOfShape(b{1048576,1048576})", "refused: makes 1099511627776 elements of 2"},
    {"y=Tile(a<1.,2.>, b{16777216})", "refused: makes 33554432 elements of 2"},
    {"a=ConstantOfShape(b{1,1048576}); c=ConstantOfShape(d{1048576,16}); y=MatMul(a, c)", "refused: at most"},
    {"a=ConstantOfShape(b{2048,2048}); y=MatMul(a, a)", "refused: too many multiplications"},
    {"y=Range(a{0}[], b{5}[], c{0}[])", "refused: n_y"},
    {"y=Range(a<0.>, b<1.>, c<0.5>)", "float[2] 0 0.5"},
    {"y=Range(a<0.>, b<1.>, c<0.>)", "refused: too many"},

    {"y=Flatten(d{1,2,3,4}[2,1,2])", "int64[2,2] 1 2 3 4"},
    {"y=Flatten(d{1,2,3,4}[2,1,2]) axis=0", "int64[1,4] 1 2 3 4"},
    {"y=Flatten(d{1,2,3,4}[2,1,2]) axis=3", "int64[4,1] 1 2 3 4"},
    {"y=Flatten(d{1,2}) axis=2", "refused: axis"},
    {"y=Size(d{1,2,3,4}[2,2])", "int64[] 4"},
    {"y=Dropout(d<1.5>)", "float[] 1.5"},
    {"m=Cast(t{0}[]) to=9; y=Dropout(d<1.5>, -, m)", "float[] 1.5"},
    {"m=Cast(t{1}[]) to=9; y=Dropout(d<1.5>, -, m)", "refused: node 'n_y' (Dropout): dropout in training mode"},
    {"t=ConstantOfShape(s{0}); m=Cast(t) to=9; y=Dropout(d<1.5>, -, m)",
     "refused: node 'n_y' (Dropout): dropout in training mode"},

    {"y=Pad(d{1,2}, p{1,2})", "int64[5] 0 1 2 0 0"},
    {"y=Pad(d{1,2}, p{1,-1}, v{9}[])", "int64[2] 9 1"},
    {"y=Pad(d{1,2,3,4}[2,2], p{0,1,1,0}, v{7})", "int64[3,3] 7 1 2 7 3 4 7 7 7"},
    {"y=Pad(d{1,2,3,4}[2,2], p{1,0}, v{7}[], a{-1})", "int64[2,3] 7 1 2 7 3 4"},
    {"y=Pad(d<1.5>[1]) pads=[0,1] value=0.5", "float[2] 1.5 0.5"},
    {"y=Pad(d{1,2}, p{1,1}) mode=reflect", "refused: only mode 'constant'"},
    {"y=Pad(d{1,2}, p{1})", "refused: two entries per axis"},
    {"v=ConstantOfShape(s{0}) value={7}; y=Pad(d{1,2}, p{1,1}, v)", "refused: constant_value is not one element"},
    {"y=Pad(d{1,2}, p{1,1}, v{7,8})", "refused: constant_value is not one element"},
    {"y=Pad(d{1,2}, p{max,max})", "refused: too large"},

    // activation functions, and Clip in both forms
    {"y=Relu(d<-1.5,2.>)", "float[2] 0 2"},
    {"y=Sigmoid(d<0.,1.>)", "float[2] 0.5 0.73105859756469727"},
    {"y=HardSigmoid(d<-9.,1.,9.>) alpha=0.25", "float[3] 0 0.75 1"},
    {"y=Tanh(d<1.>)", "float[] 0.76159417629241943"},
    {"y=Erf(d<-1.>)", "float[] -0.8427007794380188"},
    {"y=Softplus(d<-1.,90.>)", "float[2] 0.31326168775558472 90"},
    {"y=LeakyRelu(d<-2.,2.>) alpha=0.25", "float[2] -0.5 2"},
    {"y=Elu(d<-1.,2.>) alpha=2.0", "float[2] -1.264241099357605 2"},
    {"y=Clip(d<-3.,0.5,9.>, low<-1.>, high<2.>)", "float[3] -1 0.5 2"},
    {"y=Clip(d<-3.,9.>, -, high<2.>)", "float[2] -3 2"},
    {"y=Clip(d<-3.,9.>, low<1.,2.>)", "refused: a bound is not one number"},
    {"y=Relu(d{4})", "refused: this type"},
    {"y=Sqrt(d<4.,2.>)", "float[2] 2 1.4142135381698608"},
    {"y=Sqrt(d{4})", "refused: this type"},
    {"y=Reciprocal(d<4.,3.>)", "float[2] 0.25 0.3333333432674408"},
    {"y=Exp(d<0.,1.>)", "float[2] 1 2.7182817459106445"},
    {"y=Log(d<1.>)", "float[] 0"},
    {"y=Neg(d{1,min})", "int64[2] -1 -9223372036854775808"},
    {"y=Neg(d<1.5>)", "float[] -1.5"},
    {"y=Abs(d{-3,3})", "int64[2] 3 3"},
    {"y=Floor(d<1.5,-1.5>)", "float[2] 1 -2"},
    {"y=Ceil(d<1.5,-1.5>)", "float[2] 2 -1"},
    {"y=Pow(d<2.,3.>, p<0.5>)", "float[2] 1.4142135381698608 1.7320507764816284"},
    {"y=Pow(d{2,3}, p<2.0>)", "int64[2] 4 9"},
    {"y=Pow(d<2.,3.>, p{2})", "float[2] 4 9"},
    {"y=Pow(d{10}, p{40})", "refused: too large"},
    {"y=Mod(d{7,-7,7,-7}, m{3,3,-3,-3})", "int64[4] 1 2 -2 -1"},
    {"y=Mod(d{7,-7,7,-7}, m{3,3,-3,-3}) fmod=1", "int64[4] 1 -1 1 -1"},
    {"y=Mod(d<5.5,-5.5>, m<2.>) fmod=1", "float[2] 1.5 -1.5"},
    {"y=Mod(d<5.5>, m<2.>)", "refused: this type"},
    {"y=Mod(d{min}, m{-1})", "int64[1] 0"},
    {"y=Mod(d{1}, m{0})", "refused: zero"},
    {"y=Min(a{3,1}, b{2}, c{5,0})", "int64[2] 2 0"},
    {"y=Max(a<3.,1.>, b<2.>)", "float[2] 3 2"},
    {"y=Max(a{3})", "int64[1] 3"},
    {"y=Sum(a<1.,2.>, b<10.>, c<100.>[1,1])", "float[1,2] 111 112"},
    {"y=Equal(a{1,2,3}, b{2}[])", "bool[3] 0 1 0"},
    {"y=Equal(a<1.,2.>, b<2.>)", "bool[2] 0 1"},
    {"y=Greater(a{1,2,3}, b{2})", "bool[3] 0 0 1"},
    {"y=Less(a<1.,2.,3.>, b<2.>)", "bool[3] 1 0 0"},
    {"y=GreaterOrEqual(a{1,2,3}, b{2})", "bool[3] 0 1 1"},
    {"y=LessOrEqual(a{1,2,3}, b{2})", "bool[3] 1 1 0"},
    {"a=Less(p{1,1,3,3}, q{2}); b=Less(r{1,3,1,3}, q); y=And(a, b)", "bool[4] 1 0 0 0"},
    {"a=Less(p{1,1,3,3}, q{2}); b=Less(r{1,3,1,3}, q); y=Or(a, b)", "bool[4] 1 1 1 0"},
    {"a=Less(p{1,1,3,3}, q{2}); b=Less(r{1,3,1,3}, q); y=Xor(a, b)", "bool[4] 0 1 1 0"},
    {"a=Less(p{1,3}, q{2}); y=Not(a)", "bool[2] 0 1"},
    {"y=Not(d{1})", "refused: different types"},
    {"c=Equal(a{-1,4}, b{-1}); y=Where(c, p{7,7}, a)", "int64[2] 7 4"},
    {"c=Cast(m{1,0}[2,1]) to=9; y=Where(c, p{1,2,3}, q{7}[])", "int64[2,3] 1 2 3 7 7 7"},
    {"c=Cast(m{1,0}) to=9; y=Where(c, p<0.5>, q<1.5>)", "float[2] 0.5 1.5"},
    {"y=Where(m{1,0}, p<0.5>, q<1.5>)", "refused: different types"},
    {"a=Cast(d{100}) to=3; b=Cast(e{100}) to=3; y=Add(a, b)", "int8[1] -56"},

    {"y=ReduceSum(d{1,2,3,4}[2,2], a{0})", "int64[1,2] 4 6"},
    {"y=ReduceSum(d{1,2,3,4}[2,2], a{1}) keepdims=0", "int64[2] 3 7"},
    {"y=ReduceSum(d{1,2,3,4}[2,2])", "int64[1,1] 10"},
    {"y=ReduceSum(d{1,2,3,4}[2,2]) noop_with_empty_axes=1", "int64[2,2] 1 2 3 4"},
    {"y=ReduceProd(d{1,2,3,4}[4]) axes=[0] keepdims=0", "int64[] 24"},
    {"y=ReduceMean(d<1.,2.,3.,5.>[2,2]) axes=[-1]", "float[2,1] 1.5 4"},
    {"y=ReduceMax(d{3,-1,2}) keepdims=0", "int64[] 3"},
    {"y=ReduceMin(d<3.,-1.,2.>) keepdims=0", "float[] -1"},
    {"y=ReduceL2(d<3.,4.,0.,2.>[2,2], a{1})", "float[2,1] 5 2"},
    {"y=ReduceSumSquare(d{3,4})", "int64[1] 25"},
    {"y=ReduceSum(d{1,2}, a{1})", "refused: axis"},
    {"y=ReduceMax(d{}[0])", "refused: no elements"},

    // (x - mean) / sqrt(variance + epsilon) * scale + shift
    {"y=BatchNormalization(d<1.,2.,3.,4.>[2,2], s<1.,2.>, b<0.,1.>, m<1.,4.>, v<3.,8.>) epsilon=1.",
     "float[2,2] 0 -0.3333333432674408 1 1"},
    {"y=BatchNormalization(d<1.,2.,3.,4.>[2,2,1], s<1.,2.>, b<0.,1.>, m<9.,9.>, v<0.,0.>) epsilon=3. training_mode=1",
     "float[2,2,1] -0.5 0 0.5 2"},
    {"y=BatchNormalization(d<1.,3.,2.,6.>[1,2,2], s<2.,1.>, b<0.,0.>, m<9.,9.>, v<0.,0.>) epsilon=0. training_mode=1",
     "float[1,2,2] -2 2 -1 1"},
    {"y=BatchNormalization(d<1.,2.>[1,2], s<1.>, b<0.>, m<1.>, v<3.>)", "refused: one element per channel"},
    {"y=BatchNormalization(d<1.,2.>, s<1.>, b<0.>, m<1.>, v<3.>)", "refused: without channels"},
    {"y=BatchNormalization(d{1,2}[1,2], s<1.,1.>, b<0.,0.>, m<1.,1.>, v<3.,3.>)", "refused: this type"},
    {"y=BatchNormalization(d<1.,2.>[1,1,2], s<1.>, b<0.>, m<1.>, v<3.>) spatial=0", "refused: spatial"},
    {"y=InstanceNormalization(d<1.,3.,2.,6.>[2,1,2], s<2.>, b<1.>) epsilon=0.", "float[2,1,2] -1 3 -1 3"},
    {"y=InstanceNormalization(d<1.,3.,2.,6.>[1,2,2], s<2.,1.>, b<1.,0.>) epsilon=8.",
     "float[1,2,2] 0.3333333432674408 1.6666666269302368 -0.57735025882720947 0.57735025882720947"},
};

// The same where the last node has [outputs] outputs, of which number [output] is looked at.
static const struct {
    struct row row;
    size_t outputs, output;
} output_rows[] = {
    {{"y=Split(d{1,2,3,4,5}) split=[2,3]", "int64[3] 3 4 5"}, 2, 1},
    {{"y=Split(d{1,2,3,4,5}, s{2,3})", "int64[2] 1 2"}, 2, 0},
    {{"y=Split(d{1,2,3,4,5,6}[2,3]) axis=-1", "int64[2,1] 3 6"}, 3, 2},
    {{"y=Split(d{1,2,3,4,5}) num_outputs=3", "int64[1] 5"}, 3, 2},
    {{"y=Split(d{1,2,3,4,5,6}) num_outputs=4", "int64[0]"}, 4, 3},
    {{"y=Split(d{1,2,3,4,5}) split=[2,2]", "refused: do not add up"}, 2, 1},
    {{"y=Split(d{1,2,3,4,5}, s{6,-1})", "refused: do not add up"}, 2, 1},
    {{"y=Split(d{1,2,3,4,5}) split=[5]", "refused: do not add up"}, 2, 1},
    {{"y=BatchNormalization(d<1.,2.,3.,4.>[2,2], s<1.,2.>, b<0.,1.>, m<9.,9.>, v<0.,0.>) epsilon=3.",
      "float[2,2] -0.5 0 0.5 2"}, // training mode as sets before 14 have it
     5,
     0},
    {{"y=Identity(d{1})", "refused: only its first output"}, 2, 1},
};

static const char *type_text(int32_t type)
{
    switch (type) {
    case ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT:
        return "float";
    case ONNX__TENSOR_PROTO__DATA_TYPE__DOUBLE:
        return "double";
    case ONNX__TENSOR_PROTO__DATA_TYPE__INT64:
        return "int64";
    case ONNX__TENSOR_PROTO__DATA_TYPE__INT32:
        return "int32";
    case ONNX__TENSOR_PROTO__DATA_TYPE__BOOL:
        return "bool";
    case ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT16:
        return "float16";
    case ONNX__TENSOR_PROTO__DATA_TYPE__BFLOAT16:
        return "bfloat16";
    case ONNX__TENSOR_PROTO__DATA_TYPE__INT8:
        return "int8";
    case ONNX__TENSOR_PROTO__DATA_TYPE__UINT8:
        return "uint8";
    case ONNX__TENSOR_PROTO__DATA_TYPE__INT16:
        return "int16";
    case LORAC_TYPE_INT4:
        return "int4";
    default:
        return "other";
    }
}

static void format(const struct lorac_constant *value, char *out, size_t bytes)
{
    int at = snprintf(out, bytes, "%s[", type_text(value->data_type));
    for (size_t i = 0; i < value->rank; i++)
        at += snprintf(out + at, bytes - (size_t)at, "%s%" PRId64, i ? "," : "", value->dims[i]);
    at += snprintf(out + at, bytes - (size_t)at, "]");
    for (size_t i = 0; i < value->count && (size_t)at + 40 < bytes; i++) {
        if (value->floating)
            at += snprintf(out + at, bytes - (size_t)at, " %.17g", value->floats[i]);
        else
            at += snprintf(out + at, bytes - (size_t)at, " %" PRId64, value->ints[i]);
    }
}

struct known {
    const char *name;
    struct lorac_constant value;
};

// Evaluates the nodes in order; the last one's value, or the first failure.
static enum lorac_status evaluate(struct graph *graph, size_t output, struct lorac_constant *out,
                                  struct lorac_error *error)
{
    const Onnx__GraphProto *proto = graph->model->proto->graph;
    struct lorac_arena *arena = graph->model->arena;
    struct known known[64];
    size_t count = 0;
    for (size_t i = 0; i < proto->n_initializer; i++) {
        known[count].name = proto->initializer[i]->name;
        LORAC_TRY(lorac_constant_from_tensor(graph->model, proto->initializer[i], arena, &known[count++].value, error));
    }
    for (size_t i = 0; i < proto->n_node; i++) {
        const Onnx__NodeProto *node = proto->node[i];
        const struct lorac_constant *inputs[16] = {NULL};
        for (size_t k = 0; k < node->n_input; k++)
            for (size_t j = 0; j < count; j++)
                if (strcmp(known[j].name, node->input[k]) == 0)
                    inputs[k] = &known[j].value;
        struct known *next = &known[count++];
        next->name = node->output[0];
        const struct lorac_constant_node what = {graph->model, node, inputs, node->n_input,
                                                 i + 1 == proto->n_node ? output : 0};
        LORAC_TRY(lorac_constant_evaluate(&what, arena, &next->value, error));
    }
    *out = known[count - 1].value;
    return LORAC_OK;
}

// Names for the outputs that the text cannot give.
static void add_outputs(struct graph *graph, size_t count)
{
    Onnx__NodeProto *node = graph->model->proto->graph->node[graph->model->proto->graph->n_node - 1];
    char **names = lorac_arena_alloc_array(graph->model->arena, count, sizeof *names);
    REQUIRE(names != NULL);
    for (size_t i = 0; i < count; i++) {
        char text[32];
        snprintf(text, sizeof text, "y_%zu", i);
        names[i] = i ? lorac_arena_strdup(graph->model->arena, text) : node->output[0];
        REQUIRE(names[i] != NULL);
    }
    node->output = names;
    node->n_output = count;
}

static void check_value(const char *text, const char *how, enum lorac_status status, const struct lorac_constant *value,
                        const char *message, const char *expect)
{
    char got[512];
    if (strncmp(expect, "refused: ", 9) == 0) {
        CHECKF(status != LORAC_OK && strstr(message, expect + 9) != NULL, "%s (%s): status %d, message \"%s\"", text,
               how, (int)status, message);
    } else if (CHECKF(status == LORAC_OK, "%s (%s): %s", text, how, message)) {
        format(value, got, sizeof got);
        CHECKF(strcmp(got, expect) == 0, "%s (%s): got \"%s\", expected \"%s\"", text, how, got, expect);
    }
}

// Node by node, and by the walk back from the last value, which must agree.
static void run(const struct row *row, size_t outputs, size_t output)
{
    struct graph graph = graph_build(&(struct graph_spec){.text = row->text, .dims = {1, 1, 1, 1}});
    const Onnx__GraphProto *proto = graph.model->proto->graph;
    struct lorac_constant value = {0}, resolved = {0};
    struct lorac_error error = {0}, resolve_error = {0};
    if (outputs > 1)
        add_outputs(&graph, outputs);
    enum lorac_status status = evaluate(&graph, output, &value, &error);
    check_value(row->text, "evaluate", status, &value, error.message, row->expect);
    for (size_t i = 0; status == LORAC_OK && i < value.count && i < 16; i++)
        CHECK(!value.floating || isinf(value.floats[i]) || lorac_constant_int(&value, i) == (int64_t)value.floats[i]);
    const char *last = proto->node[proto->n_node - 1]->output[0];
    if (output == 0) { // the index does not know the names that were added
        status = lorac_constant_resolve(graph.model, last, graph.model->arena, &resolved, &resolve_error);
        bool knows = lorac_constant_knows(proto->node[proto->n_node - 1]);
        CHECKF((lorac_constant_follows(graph.model, last, NULL) == LORAC_OK) == knows, "%s: follows", row->text);
        check_value(row->text, "resolve", status, &resolved, resolve_error.message, row->expect);
    }
    graph_free(&graph);
}

// ---- the walk back

static void test_dependence(void)
{
    struct graph graph = graph_build(&(struct graph_spec){
        .text = "s=Shape(x); t=Add(s, one{1}); u=Add(two{2}, three{3}); r=Sin(x); y=Add(r, u)", .dims = {1, 1, 1, 1}});
    const struct {
        const char *value, *refusal;
    } table[] = {{"u", NULL},
                 {"two", NULL},
                 {"x", "value 'x' is an input of the graph"},
                 {"s", "value 'x' is an input of the graph"},
                 {"t", "value 'x' is an input of the graph"},
                 {"y", "computed by 'n_r' (Sin)"},
                 {"nowhere", "value 'nowhere'"}};
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        struct lorac_error error = {0};
        struct lorac_constant out = {0};
        enum lorac_status status =
            lorac_constant_resolve(graph.model, table[i].value, graph.model->arena, &out, &error);
        CHECKF((status == LORAC_OK) == !table[i].refusal, "%s: %s", table[i].value, error.message);
        if (table[i].refusal)
            CHECKF(status == LORAC_ERROR_UNSUPPORTED && strstr(error.message, table[i].refusal) != NULL, "%s: %s",
                   table[i].value, error.message);
    }
    graph_free(&graph);
}

// v_i = v_(i-1) + v_(i-1): each is evaluated once, or this would never end; and the depth has a bound.
static void test_chain(size_t length, bool fits)
{
    struct graph graph = graph_build(&(struct graph_spec){.text = "v0=Add(one{1}, one)", .dims = {1, 1, 1, 1}});
    struct lorac_constant out = {0};
    struct lorac_error error = {0};
    char before[32] = "v0", name[32];
    for (size_t i = 1; i < length; i++) {
        snprintf(name, sizeof name, "v%zu", i);
        const struct lorac_node_spec spec = {
            .op_type = "Add", .input_count = 2, .inputs = {before, before}, .output = name};
        REQUIRE(CHECK_OK(lorac_model_insert_node(graph.model, NULL, &spec, NULL, &error), error));
        memcpy(before, name, sizeof before);
    }
    enum lorac_status status = lorac_constant_resolve(graph.model, before, graph.model->arena, &out, &error);
    CHECKF((status == LORAC_OK) == fits, "%zu: %s", length, error.message);
    if (fits && status == LORAC_OK)
        CHECK(out.count == 1 && out.ints[0] == (length < 64 ? (int64_t)1 << length : 0));
    else
        CHECKF(strstr(error.message, "more than 200") != NULL, "%s", error.message);
    graph_free(&graph);
}

// Each node is within its bound; all of them together are not.
static void test_total(void)
{
    struct graph graph = graph_build(&(struct graph_spec){
        .text = "a=ConstantOfShape(b{2,4194304}); c=Add(a, a); d=Add(c, c)", .dims = {1, 1, 1, 1}});
    struct lorac_constant out = {0};
    struct lorac_error error = {0};
    struct lorac_arena *arena = lorac_arena_create();
    REQUIRE(arena);
    CHECK(lorac_constant_resolve(graph.model, "d", arena, &out, &error) == LORAC_ERROR_UNSUPPORTED);
    CHECKF(strstr(error.message, "too many elements"), "%s", error.message);
    lorac_arena_free(arena);
    graph_free(&graph);
}

int main(void)
{
    test_total();
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        run(&rows[i], 1, 0);
    for (size_t i = 0; i < sizeof output_rows / sizeof output_rows[0]; i++)
        run(&output_rows[i].row, output_rows[i].outputs, output_rows[i].output);
    test_dependence();
    test_chain(40, true);
    test_chain(150, true);
    test_chain(300, false);
    return check_report();
}
