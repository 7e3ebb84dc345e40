// Every command, in the order of the help: this line declares it and registers it. EDIT(name) is for those that change
// graphs, which the device build leaves out.
#ifdef LORAC_DEVICE_ONLY
#define LORAC_EDIT_COMMAND(X, name)
#else
#define LORAC_EDIT_COMMAND(X, name) X(name)
#endif

#define LORAC_COMMAND_LIST(X)                                                                                          \
    X(inspect)                                                                                                         \
    LORAC_EDIT_COMMAND(X, inject)                                                                                      \
    X(train)                                                                                                           \
    X(eval)                                                                                                            \
    LORAC_EDIT_COMMAND(X, merge)                                                                                       \
    X(extract)                                                                                                         \
    LORAC_EDIT_COMMAND(X, apply)                                                                                       \
    X(compare)                                                                                                         \
    X(bench)                                                                                                           \
    LORAC_EDIT_COMMAND(X, run)                                                                                         \
    X(recipe)                                                                                                          \
    X(man)                                                                                                             \
    X(completion)
