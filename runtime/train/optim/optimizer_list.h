// Every optimiser: one line each, which declares and registers it. The file is optim/<name>.c.
#ifndef LORAC_OPTIMIZER_LIST_H
#define LORAC_OPTIMIZER_LIST_H

#include "runtime/train/optimizer.h"

#define LORAC_OPTIMIZER_LIST(X)                                                                                        \
    X(lorac_optimizer_sgd)                                                                                             \
    X(lorac_optimizer_adamw)

#define LORAC_OPTIMIZER_DECLARE(name) extern const struct lorac_optimizer name;
LORAC_OPTIMIZER_LIST(LORAC_OPTIMIZER_DECLARE)
#undef LORAC_OPTIMIZER_DECLARE

#endif
