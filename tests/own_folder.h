// A folder of the test's own under /tmp: main begins with REQUIRE(mkdtemp(FOLDER)), and removes it at the end.
#ifndef LORAC_TEST_OWN_FOLDER_H
#define LORAC_TEST_OWN_FOLDER_H

#include <stdio.h>
#include <stdlib.h>

static char FOLDER[] = "/tmp/lorac_test_XXXXXX";

// "FOLDER/NAME", until sixteen others were asked for.
static inline const char *in_folder(const char *name)
{
    enum { COUNT = 16 };
    static char paths[COUNT][1024];
    static unsigned next;
    char *path = paths[next++ % COUNT];
    snprintf(path, sizeof paths[0], "%s/%s", FOLDER, name);
    return path;
}

#endif
