// Ctrl-C and the signals that end a program otherwise: how training stops on them, and how a file that is being
// written outlives them.
#ifndef LORAC_SIGNALS_H
#define LORAC_SIGNALS_H

#include <stdbool.h>

// From here on SIGINT, SIGTERM and SIGHUP only ask to stop. The second SIGINT or SIGTERM kills as usual; SIGHUP stays
// asked, as a terminal that closes may send it twice, and is left alone where it is ignored (nohup).
void lorac_interrupt_catch(void);

// Did one of them arrive since?
bool lorac_interrupted(void);

// Undoes catch: signals have their effect of before. Nothing where there was none.
void lorac_interrupt_release(void);

// Between these two the signals wait, so that no temporary file is left behind: what arrived has its effect (that of
// before) in lorac_signals_release. For a write, which is short. Not nested.
void lorac_signals_hold(void);
void lorac_signals_release(void);

#endif
