// Which algorithm a convolution, its input gradient and its weight's gradient get, and where a gradient's weights have
// the adapter.
#include "conv_shapes.h"
#include "runtime/kernels/conv_branch.h"

static void check_choice(void)
{
    static const struct {
        struct conv_row row;
        struct lorac_conv_demand demand;
        const char *forward, *gradient;
    } choices[] = {
        {{32, 32, 32, 64, 64, {1, 1, 1, 1}, 3, 1, 1}, {0}, "winograd4", "winograd4"},
        {{32, 4, 4, 512, 512, {1, 1, 1, 1}, 3, 1, 1}, {0}, "winograd4", "winograd4"},
        {{32, 32, 32, 64, 64, {1, 1, 1, 1}, 3, 1, 1}, {.exact = true}, "gemm", "gemm"},
        {{32, 32, 32, 64, 64, {1, 1, 1, 1}, 3, 1, 1}, {.changing = true}, "winograd4", "winograd4"},
        {{15, 4, 4, 512, 512, {1, 1, 1, 1}, 3, 1, 1}, {.changing = true}, "gemm", "gemm"},
        {{15, 4, 4, 512, 512, {1, 1, 1, 1}, 3, 1, 1}, {0}, "winograd2", "winograd2"},
        {{32, 32, 32, 64, 64, {1, 1, 1, 1}, 3, 1, 1}, {.packed_limit = 4 * 20 * 4096}, "winograd2", "winograd2"},
        {{32, 32, 32, 64, 64, {1, 1, 1, 1}, 3, 1, 1}, {.packed_limit = 4 * 9 * 4096}, "gemm", "gemm"},
        {{32, 32, 32, 64, 64, {1, 1, 1, 1}, 3, 1, 1}, {.packed_limit = 4 * 4096}, "gemm-at-run", "gemm-at-run"},
        {{32, 32, 32, 64, 64, {1, 1, 1, 1}, 3, 1, 1},
         {.packed_limit = 4 * 4096, .changing = true, .exact = true},
         "gemm-at-run",
         "gemm-at-run"},
        {{32, 32, 32, 64, 64, {1, 1, 1, 1}, 3, 1, 2}, {.packed_limit = 1}, "direct", "deconvolution"},
        {{32, 28, 28, 16, 32, {1, 1, 1, 1}, 3, 2, 1}, {.packed_limit = 1 << 20}, "direct", "deconvolution"},
        {{32, 32, 32, 3, 64, {1, 1, 1, 1}, 3, 1, 1}, {0}, "direct", "deconvolution"},
        {{32, 32, 32, 64, 64, {1, 1, 1, 1}, 3, 2, 1}, {0}, "gemm", "gemm"},
        {{32, 32, 32, 64, 64, {1, 1, 1, 1}, 3, 1, 2}, {0}, "direct", "deconvolution"},
        {{32, 32, 32, 64, 64, {0, 0, 0, 0}, 1, 2, 1}, {0}, "gemm", "gemm"},
        {{32, 8, 8, 256, 512, {0, 0, 0, 0}, 1, 2, 1}, {0}, "gemm", "gemm"},
        {{32, 16, 16, 32, 64, {0, 0, 0, 0}, 1, 2, 1}, {0}, "direct", "pointwise"},
        {{8, 28, 28, 512, 128, {0, 0, 0, 0}, 1, 1, 1}, {0}, "gemm", "gemm"},
        {{32, 28, 28, 16, 32, {1, 1, 1, 1}, 3, 2, 1}, {0}, "direct", "deconvolution"},
    };
    for (size_t i = 0; i < sizeof choices / sizeof *choices; i++) {
        struct lorac_conv_shape shape = shape_of(&choices[i].row);
        CHECK_STRING(lorac_conv_forward_algorithm(&shape, &choices[i].demand)->name, choices[i].forward);
        CHECK_STRING(lorac_conv_gradient_algorithm(&shape, &choices[i].demand)->name, choices[i].gradient);
    }
}

static void check_weight_choice(void)
{
    static const struct {
        struct conv_row row;
        struct lorac_conv_demand demand;
        const char *name;
    } choices[] = {
        {{64, 32, 32, 16, 16, {1, 1, 1, 1}, 3, 1, 1}, {0}, "winograd4"},
        {{32, 32, 32, 64, 64, {1, 1, 1, 1}, 3, 1, 1}, {0}, "winograd4"},
        {{32, 32, 32, 64, 64, {1, 1, 1, 1}, 3, 1, 1}, {.exact = true}, "plain"},
        {{32, 32, 32, 64, 64, {1, 1, 1, 1}, 3, 1, 1}, {.packed_limit = 1 << 20}, "plain"},
        {{32, 32, 32, 64, 64, {1, 1, 1, 1}, 3, 1, 1}, {.packed_limit = 1 << 23}, "winograd4"},
        {{32, 32, 32, 64, 64, {1, 1, 1, 1}, 3, 2, 1}, {0}, "plain"},
        {{32, 32, 32, 64, 64, {1, 1, 1, 1}, 3, 1, 2}, {0}, "plain"},
        {{32, 32, 32, 64, 64, {0, 0, 0, 0}, 1, 1, 1}, {0}, "plain"},
        {{64, 32, 32, 3, 16, {1, 1, 1, 1}, 3, 1, 1}, {0}, "plain"},
        {{32, 4, 4, 512, 512, {1, 1, 1, 1}, 3, 1, 1}, {0}, "plain"}, // few pixels
        {{32, 8, 8, 256, 256, {1, 1, 1, 1}, 3, 1, 1}, {0}, "plain"}, // few parts
        {{15, 8, 8, 32, 32, {1, 1, 1, 1}, 3, 1, 1}, {0}, "plain"},
        {{16, 8, 8, 32, 32, {1, 1, 1, 1}, 3, 1, 1}, {0}, "winograd4"},
    };
    for (size_t i = 0; i < sizeof choices / sizeof *choices; i++) {
        struct lorac_conv_shape shape = shape_of(&choices[i].row);
        CHECK_STRING(lorac_conv_weight_gradient(&shape, &choices[i].demand)->name, choices[i].name);
    }
}

// Where the gradient's weights have the adapter: never where they are borrowed, not of few pixels, and only beside the
// algorithm that they come from.
static void check_merges(void)
{
    static const struct {
        struct conv_row row;
        const struct lorac_conv_algorithm *forward, *gradient;
        bool merges;
    } merges[] = {
        {{3, 16, 8, 16, 16, {1, 1, 1, 1}, 3, 1, 1}, &lorac_conv_winograd4, &lorac_conv_gradient_winograd4, true},
        {{3, 16, 8, 16, 16, {1, 1, 1, 1}, 3, 1, 1}, &lorac_conv_winograd2, &lorac_conv_gradient_winograd2, true},
        {{3, 16, 8, 16, 16, {1, 1, 1, 1}, 3, 1, 1}, &lorac_conv_winograd4, &lorac_conv_gradient_winograd2, false},
        {{3, 16, 8, 16, 16, {1, 1, 1, 1}, 3, 1, 1}, &lorac_conv_direct, &lorac_conv_gradient_winograd4, false},
        {{3, 16, 8, 16, 16, {1, 1, 1, 1}, 3, 1, 1}, &lorac_conv_winograd4, &lorac_conv_gradient_deconv, false},
        {{3, 16, 8, 16, 16, {1, 1, 1, 1}, 3, 1, 1}, &lorac_conv_winograd4, NULL, false},
        {{1, 16, 23, 16, 16, {1, 1, 1, 1}, 3, 1, 1}, &lorac_conv_winograd4, &lorac_conv_gradient_winograd4, false},
        {{32, 32, 32, 256, 256, {1, 1, 1, 1}, 3, 1, 1},
         &lorac_conv_winograd4,
         &lorac_conv_gradient_winograd4,
         false},
    };
    for (size_t i = 0; i < sizeof merges / sizeof *merges; i++) {
        const struct lorac_conv_shape shape = shape_of(&merges[i].row);
        const struct lorac_conv_adapter sizes = {
            .rows = shape.M * shape.kh, .columns = shape.C * shape.kw, .R = 4, .s = 1};
        struct lorac_conv_branch branch;
        REQUIRE(lorac_conv_branch_init(&branch, &shape, &sizes));
        CHECKF(lorac_conv_merges(&branch, merges[i].forward, merges[i].gradient) == merges[i].merges, "row %zu", i);
    }
}

int main(void)
{
    check_choice();
    check_merges();
    check_weight_choice();
    return check_report();
}
