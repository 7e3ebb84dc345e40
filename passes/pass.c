#include "pass.h"

#include <string.h>

#define LORAC_PASS(name) extern const struct lorac_pass lorac_pass_##name;
#include "pass_list.h"
#undef LORAC_PASS

static const struct lorac_pass *const passes[] = {
#define LORAC_PASS(name) &lorac_pass_##name,
#include "pass_list.h"
#undef LORAC_PASS
};

const struct lorac_pass *const *lorac_pass_all(size_t *count)
{
    *count = sizeof passes / sizeof *passes;
    return passes;
}

const struct lorac_pass *lorac_pass_find(const char *name)
{
    for (size_t i = 0; i < sizeof passes / sizeof *passes; i++)
        if (strcmp(passes[i]->name, name) == 0)
            return passes[i];
    return NULL;
}
