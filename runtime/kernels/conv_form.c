#include "conv_branch.h"

bool lorac_conv_branch_is_cheaper(const struct lorac_conv_branch *branch)
{
    return branch->shape.M >= 64;
}
