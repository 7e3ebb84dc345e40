#include "signals.h"

#include <signal.h>
#include <stddef.h>
#include <string.h>

static const int endings[] = {SIGINT, SIGTERM, SIGHUP};
enum { ENDING_COUNT = sizeof endings / sizeof *endings };

// ---- training

static volatile sig_atomic_t interrupted;
static struct sigaction outside[ENDING_COUNT]; // what was before
static bool caught;

static void on_interrupt(int signal_number)
{
    (void)signal_number;
    interrupted = 1;
}

static bool is_ignored(int signal_number)
{
    struct sigaction action;
    return sigaction(signal_number, NULL, &action) == 0 && action.sa_handler == SIG_IGN;
}

void lorac_interrupt_catch(void)
{
    struct sigaction action;
    for (size_t i = 0; i < ENDING_COUNT && !caught; i++)
        sigaction(endings[i], NULL, &outside[i]);
    caught = true;
    memset(&action, 0, sizeof action);
    action.sa_handler = on_interrupt;
    sigemptyset(&action.sa_mask);
    action.sa_flags = SA_RESTART; // a write to the log is not cut short
    if (!is_ignored(SIGHUP))
        sigaction(SIGHUP, &action, NULL);
    action.sa_flags |= (int)SA_RESETHAND; // the next one has its usual effect
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

bool lorac_interrupted(void)
{
    return interrupted != 0;
}

void lorac_interrupt_release(void)
{
    for (size_t i = 0; i < ENDING_COUNT && caught; i++)
        sigaction(endings[i], &outside[i], NULL);
    caught = false;
}

// ---- writing

// Held by a handler and not by a mask: a mask is one thread's, and the threads that work beside this one would take
// the signal.
static volatile sig_atomic_t arrived; // the last one, 0: none
static struct sigaction before[ENDING_COUNT];

static void on_held(int signal_number)
{
    arrived = signal_number;
}

void lorac_signals_hold(void)
{
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = on_held;
    action.sa_flags = SA_RESTART;
    sigemptyset(&action.sa_mask);
    arrived = 0;
    for (size_t i = 0; i < ENDING_COUNT; i++) {
        sigaction(endings[i], NULL, &before[i]);
        if (before[i].sa_handler != SIG_IGN)
            sigaction(endings[i], &action, NULL);
    }
}

void lorac_signals_release(void)
{
    for (size_t i = 0; i < ENDING_COUNT; i++)
        sigaction(endings[i], &before[i], NULL);
    if (arrived)
        raise(arrived);
}
