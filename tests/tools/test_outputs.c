// Room for an output: whatever the disk of the test has, it has a byte and not 2^62.
#include "check.h"

#include "proto/lorac_status.h"
#include "tools/outputs.h"

static void test_room(void)
{
    static const char *const paths[] = {"out.onnx", "./out.onnx", "test_outputs.link"};
    struct lorac_error error = {0};
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
        CHECK_OK(lorac_output_check_room("-o", paths[i], 1, &error), error);
        CHECK(lorac_output_check_room("-o", paths[i], (uint64_t)1 << 62, &error) == LORAC_ERROR_IO);
        CHECK(strstr(error.message, "are left there, and the output takes about") != NULL);
        CHECK(strstr(error.message, paths[i]) != NULL);
    }
    // Where nothing can be known, writing will tell.
    CHECK_OK(lorac_output_check_room("-o", "no/such/folder/out.onnx", (uint64_t)1 << 62, &error), error);
}

int main(void)
{
    test_room();
    return check_report();
}
