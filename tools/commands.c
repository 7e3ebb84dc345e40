#include "command.h"
#include "command_list.h"

#include <string.h>

#define DECLARE(name) extern const struct lorac_command lorac_command_##name;
LORAC_COMMAND_LIST(DECLARE)
#undef DECLARE

#define ENTRY(name) &lorac_command_##name,
static const struct lorac_command *const commands[] = {LORAC_COMMAND_LIST(ENTRY) NULL};
_Static_assert(sizeof commands / sizeof *commands <= LORAC_COMMANDS_MAX + 1, "raise LORAC_COMMANDS_MAX");
#undef ENTRY

const struct lorac_command *const *lorac_commands(void)
{
    return commands;
}

const struct lorac_command *lorac_command_find(const char *name)
{
    for (size_t i = 0; commands[i]; i++)
        if (strcmp(commands[i]->name, name) == 0)
            return commands[i];
    return NULL;
}
