// What a command of lorac-onnx is: a table of options and a function that runs. One file each, cmd_<name>.c, and one
// line in command_list.h. No maths and no graph surgery here: parse, call the library, report.
#ifndef LORAC_COMMAND_H
#define LORAC_COMMAND_H

#include "options.h"

#include <stddef.h>

// Exit codes of the program.
enum lorac_exit {
    LORAC_EXIT_DONE = 0,
    LORAC_EXIT_FAILED = 1,
    LORAC_EXIT_USAGE = 2,
    LORAC_EXIT_ABOVE_TOLERANCE = 3,
    LORAC_EXIT_TIME_IS_UP = 4,    // --max-minutes: the output is written
    LORAC_EXIT_INTERRUPTED = 130, // the output is written
};

enum { LORAC_OPERANDS_MAX = 2 };

struct lorac_model;

// One run of a command.
struct lorac_call {
    const struct lorac_command *command;
    struct lorac_option_set options;          // .settings is the command's struct
    const char *operands[LORAC_OPERANDS_MAX]; // exactly command->operand_count, or where optional the first ones
    bool quiet;                               // no notes and no progress on stderr
    bool rehearsal;                           // nothing is written, measured or computed for long
};

struct lorac_command {
    const char *name;
    const char *summary;     // one line for the list of commands
    const char *synopsis;    // what follows the name in the usage line
    const char *description; // lines for -h
    const char *examples;    // lines for -h
    size_t operand_count;
    bool operands_optional;   // any of them may be missing, from the last one on: NULL
    const char *operand_help; // "give the model: MODEL.onnx"
    const struct lorac_option_group *groups;
    size_t settings_bytes;
    // Everything that can be known before any file is read or looked for, also where something required is missing: a
    // recipe is checked by it alone. NULL: nothing. run() begins with it. Errors: ARGUMENT, MEMORY.
    enum lorac_status (*check)(const struct lorac_call *call, struct lorac_error *error);
    // What run() would refuse once it has opened its files, with [*model] in place of the first operand's file, which
    // an earlier step of a job is to write. Takes over [*model], and leaves there the one that run() would write; NULL: it
    // writes none. Of a call with quiet and rehearsal. NULL: nothing. Errors: those of run().
    enum lorac_status (*rehearse)(const struct lorac_call *call, struct lorac_model **model, struct lorac_error *error);
    enum lorac_exit (*run)(const struct lorac_call *call);
};

// Every command, NULL-ended, in the order of the help.
enum { LORAC_COMMANDS_MAX = 32 };
const struct lorac_command *const *lorac_commands(void);
// By its name; NULL where there is none.
const struct lorac_command *lorac_command_find(const char *name);

#endif
