// claimed OP...: of the operators named, prints "kernel OP" for each that the runtime runs on activations, and
// "constant OP" for each that it evaluates on constants. For test_onnx_backend.py, so that no list is kept twice.
#include "proto/constant.h"
#include "runtime/kernels/kernel.h"

#include <stdio.h>

int main(int count, char **names)
{
    for (int i = 1; i < count; i++) {
        Onnx__NodeProto node = ONNX__NODE_PROTO__INIT;
        node.op_type = names[i];
        if (lorac_kernel_find(names[i]))
            printf("kernel %s\n", names[i]);
        if (lorac_constant_knows(&node))
            printf("constant %s\n", names[i]);
    }
    return 0;
}
