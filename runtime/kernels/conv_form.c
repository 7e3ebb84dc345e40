// Which form an adapter is trained in. Both costs are in multiply-adds of XNNPACK's direct convolution (some 80 a
// nanosecond and thread where the constants were measured, with AVX-512 on one thread, R = 4 and 12), F of which are
// one pass of the convolution:
//
//     definition    conv + weights * (PACK + 3*R)    conv with the dense gradient; packing; B@A and both its gradients
//     branch        conv + PRODUCT * lanes + TRAFFIC * floats
//
// where conv is F for each, by how long it takes beside the direct one (relative_time), lanes are the multiply-adds of
// the branch's products, with the side that fills vectors rounded up to 16, and floats what they read and write of x, y,
// dy, dx and h. Where the convolution runs the adapter's forward pass with its own (lorac_conv_beside), x and y are in
// the cache; by Winograd h takes 36 products for 16 pixels instead of 9 for one, and is transformed back. Where the
// gradient has the adapter in its weights (lorac_conv_merge), dx takes no products and no floats here, but MERGE +
// MERGE_RANK*R for each weight at each step: R = 12, 64 -> 64 0.15 ms, 128 -> 128 0.5 ms. In the forms' own
// measurements, of a layer's adapter alone, all after the convolution:
//
//     layer, batch 32, R = 12      definition   branch   branch, A frozen      (milliseconds, one thread)
//     16 -> 16, 32 x 32, batch 64         2.5     24.4     19.5
//     64 -> 64, 32 x 32                  15.1     26.1     21.0
//     128 -> 128, 16 x 16                55.5      9.7      6.8
//     256 -> 256, 8 x 8                  30.3      4.1      3.2
//     512 -> 512, 4 x 4                  36.0      2.1      1.5
//
// the forward pass of the adapter alone, R = 12, after the convolution and beside it:
//
//     64 -> 64, 32 x 32        10.2   2.7
//     128 -> 128, 16 x 16       4.8   1.1
//     256 -> 256, 8 x 8         2.1   0.9
//     512 -> 512, 4 x 4         0.8   0.1
//
// These were all by plain sums and direct convolutions. Where both forms have Winograd, the definition for its dense
// gradient too, of a whole layer in a step, one thread (another processor with AVX-512):
//
//     layer                          definition   branch   branch, A frozen
//     16 -> 16, 32 x 32, batch 64         3.7     13.4      5.6
//     32 -> 32, 16 x 16, batch 64         2.2      4.5      2.3
//     64 -> 64, 8 x 8, batch 64           2.0      2.2      1.5
//     64 -> 64, 32 x 32, batch 32        14.1     19.0     13.0
//     128 -> 128, 16 x 16                11.7     10.9      8.7
//     256 -> 256, 8 x 8                  12.5      9.8
//     64 -> 64, 56 x 56, batch 8, R = 4  12.3     11.3
//
// of which the rule below chooses the faster one each time.
#include "conv_branch.h"

static const double PACK = 500, PRODUCT = 1.2, TRAFFIC = 16, MERGE = 170, MERGE_RANK = 10;

static double padded(size_t floats)
{
    return (double)((floats + 15) / 16 * 16);
}

bool lorac_conv_branch_is_cheaper(const struct lorac_conv_branch *branch, double definition, double branch_conv)
{
    const struct lorac_conv_shape *s = &branch->shape;
    double in = (double)s->N * (double)s->H * (double)s->W, out = (double)s->N * (double)s->OH * (double)s->OW;
    double C = (double)s->C, M = (double)s->M, R = (double)branch->R, kR = (double)branch->blocks * R;
    double weights = (double)lorac_conv_weight_count(s), F = out * weights;
    double dx = lorac_conv_branch_adds_dx(branch), da = branch->trains_a, db = branch->trains_b;

    double windows = (double)branch->blocks * (double)branch->taps * out; // each is read by R outputs
    double down = (double)branch->blocks * branch->down_products * out;
    double lanes = down * (double)branch->width * padded(branch->R);
    lanes += (dx + da) * windows * R * padded(branch->width);
    lanes += out * (kR * padded(s->M) + (db + (dx > da ? dx : da)) * M * padded(branch->blocks * branch->R));
    double floats = in * C * (2 * dx + da) + out * (M + (1 + db) * kR);
    floats += branch->beside ? 2 * out * kR : in * C + 2 * out * M;
    double merge = branch->merged ? weights * (MERGE + MERGE_RANK * R) : 0;
    double cost = branch_conv * F + PRODUCT * lanes + TRAFFIC * floats + merge;
    return cost < definition * F + weights * (PACK + 3 * R);
}
