// claimed OP...: of the operators named, prints "kernel OP" for each that the runtime runs on activations, "gradient OP"
// where it has a gradient, and "constant OP" for each that is evaluated on constants. For the tests beside it, so that
// no list is kept twice.
#include "proto/constant.h"
#include "runtime/kernels/kernel.h"

#include <stdio.h>

int main(int count, char **names)
{
    for (int i = 1; i < count; i++) {
        Onnx__NodeProto node = ONNX__NODE_PROTO__INIT;
        node.op_type = names[i];
        const struct lorac_kernel *kernel = lorac_kernel_find(names[i]);
        if (kernel)
            printf("kernel %s\n", names[i]);
        // Without a forward of its own it makes no step, or hands over to a kernel that the rows of test_kernels try.
        if (kernel && (kernel->backward || kernel->passes_gradient || !kernel->forward))
            printf("gradient %s\n", names[i]);
        if (lorac_constant_knows(&node))
            printf("constant %s\n", names[i]);
    }
    return 0;
}
