// Which form an adapter is trained in. Both costs are in multiply-adds of XNNPACK's direct convolution (some 80 a
// nanosecond and thread where the constants were measured, with AVX-512 on one thread, R = 4 and 12), F of which are
// one pass of the convolution:
//
//     definition    conv + DENSE*F + weights * (PACK + 3*R)    the dense gradient; packing; B@A and both its gradients
//     branch        conv + PRODUCT * lanes + TRAFFIC * floats
//
// where lanes are the multiply-adds of the branch's products, with the side that fills vectors rounded up to 16, and
// floats what they read and write of x, y, dy, dx and h. Where the convolution runs the adapter's forward pass with its
// own (lorac_conv_beside), x and y are in the cache; by Winograd h takes 36 products for 16 pixels instead of 9 for one,
// and is transformed back. Where the gradient has the adapter in its weights (lorac_conv_merge), dx takes no products
// and no floats here, but MERGE + MERGE_RANK*R for each weight at each step: R = 12, 64 -> 64 0.15 ms, 128 -> 128 0.5
// ms. In the forms' own measurements, of a layer's adapter alone, all after the convolution:
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
// and of whole steps, where x and dy are not in the cache, ResNet-18 CIFAR form, batch 32, one thread, with its 64 ->
// 64 layers by the definition and as branches: 807 and 846 ms, with A frozen 800 and 781.
#include "conv_branch.h"

static const double DENSE = 1.15, PACK = 500, PRODUCT = 1.2, TRAFFIC = 16, MERGE = 170, MERGE_RANK = 10;

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
    return cost < definition * F + DENSE * F + weights * (PACK + 3 * R);
}
