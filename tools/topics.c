#include "topics.h"

#include "log.h"

#include <stddef.h>
#include <string.h>

// clang-format off
const struct lorac_topic lorac_topics[] = {
    {"adapters", "what is trained, and how large it is",
     "Each convolution but the first gets W = W0 + (alpha/rank) * view(B*A). W0 stays; A starts at random, B at zero,\n"
     "so that inject changes no output. The last layer is trained too, unless --no-train-last.\n\n"
     "  --rank R --alpha X      4 and 8; alpha of twice the rank is usually best\n"
     "  --rank-setting          kernel (smaller models) or plain (ResNet-50 and larger)\n"
     "  --override REGEX:...    another rank or alpha for some layers\n"
     "  --layers, --exclude     which convolutions, by node name (lorac-onnx inspect MODEL.onnx lists them)\n"
     "  --freeze-a              train B alone: less memory and time, for at most a point of accuracy\n"
     "  --train-all             no adapters: all weights\n\n"
     "A trained adapter is a small file of its own: extract takes it out, apply puts it into the base model,\n"
     "merge --adapter a.safetensors=0.7 --adapter b.safetensors=0.3 mixes several.\n", NULL},
    {"pixels", "how images become the numbers that the model takes",
     "x = (value*scale - mean)/std, per channel of the model's input, from uint8 pixels in the order RGB. --scale is\n"
     "1/255 unless given. `inject` records --mean, --std, --scale and --channel-order in the model, and train, eval and\n"
     "compare take them from there; their own flags come before the record. A model trained with torchvision's recipe:\n\n"
     "  --mean 0.485,0.456,0.406 --std 0.229,0.224,0.225\n\n"
     "--normalize none takes pixels as the numbers they are. float32 images are never changed.\n"
     "Wrong values do not fail: they only make the accuracy bad. Look at `eval` of the untrained model first.\n", NULL},
    {"images", "files of images, and what is made of them",
     "--data takes\n\n"
     "  a folder                a folder for each class, of JPEG and PNG files: class names come from there\n"
     "  .csv, .tsv              a path and a label in each line\n"
     "  .npy, IDX               arrays, gzipped or not; --labels has their labels\n"
     "  CIFAR-10, CIFAR-100     the binary files\n\n"
     "Files are decoded by --loader-threads ahead of use, resized so that they cover the model's input (--resize: their\n"
     "short side), and cut to its middle. Those that cannot be read are named, counted and skipped; above\n"
     "--broken-share of the set the run stops. --cache-memory is what a small set may keep decoded.\n\n"
     "In training: --augment crop-flip, --random-resized-crop, --color-jitter, --cutout; --val 0.1 keeps a tenth of\n"
     "each class for validation, --keep and --patience say what it decides.\n"
     "Afterwards: eval --confusion, and eval --wrong N for the N images that are farthest off.\n", NULL},
    {"long-runs", "runs that are interrupted, and runs without anybody beside them",
     "  --checkpoint FOLDER     what is needed to go on, every 10 minutes, --checkpoint-minutes or --checkpoint-steps\n"
     "  --resume                goes on from the newest, bit for bit; begins where there is none\n"
     "  --max-minutes M         a maintenance window: ends after the step in which the time is up (exit code 4)\n"
     "  --log FILE              JSON lines for programs (lorac-onnx help log has its keys)\n\n"
     "The same command with --checkpoint and --resume can be started again and again, by a service for example, until it\n"
     "ends with 0. A run that is killed at any instant, in the middle of a write too, ends with the same file as one that\n"
     "is not. Ctrl-C and SIGTERM end the current step, keep a checkpoint and write the output (exit code 130).\n"
     "Another base model, other data or options that change the result are refused, with what differs.\n", NULL},
    {"recipes", "a whole job in one file",
     "  lorac-onnx recipe --template > job.yaml    every key, with its default and its meaning\n"
     "  lorac-onnx recipe job.yaml                 checks a recipe, and shows what it comes to\n"
     "  lorac-onnx recipe --explain train.lr       one key; or a section, or a preset\n"
     "  lorac-onnx run job.yaml                    inject, train, merge, compare; --dry-run shows the commands\n"
     "  lorac-onnx train --recipe job.yaml         one command, with what concerns it\n\n"
     "The command line counts more than the recipe, and the recipe more than its presets (paper, device, cifar10,\n"
     "imagenet). Files are relative to the recipe's folder.\n", NULL},
    {"memory", "what training takes, and how to make it take less",
     "`inspect` predicts the peak of the whole process within a tenth, and the smallest budget that would do.\n\n"
     "  --memory-budget 150M    the fastest way that fits: smaller micro-batches, kernels that pack less,\n"
     "                          recomputation; fails before any work where nothing fits\n"
     "  --micro-batch N         images that are run at once; the step stays that of the whole --batch\n"
     "  --recompute N           compute parts a second time instead of keeping them; the same bits\n"
     "  inject --freeze-a       keep h and one bit a Relu only\n"
     "  --threads 1             a little less\n", NULL},
    {"determinism", "when two runs give the same bits",
     "The same files, options and seed give the same output to the bit, on the same machine, with any number of\n"
     "threads. Every random number is a function of --seed, its purpose, the epoch and the image, never of the order\n"
     "in which threads finish.\n\n"
     "Another processor, another instruction set or another version may round differently. --tune chooses by measured\n"
     "times: the same --tune-cache gives the same bits. --micro-batch, --memory-budget, --form-policy and --exact change\n"
     "the rounding.\n", NULL},
    {"exit-codes", "what a script can tell from a run",
     "  0    done\n"
     "  1    failed: a file or a model that cannot be read, run or written; NaN; memory that ran out\n"
     "  2    usage: an option or a value that is wrong, or does not fit the files that it names\n"
     "  3    above tolerance: compare, and merge's own check\n"
     "  4    the time is up (train --max-minutes), with the output written\n"
     "  130  interrupted (SIGINT, SIGTERM, SIGHUP), with the output written\n\n"
     "Results go to stdout; errors, notes and progress to stderr, one line each, \"lorac-onnx COMMAND: ...\". A message\n"
     "names the file, the node or the option, the value, and what to do. Outputs are written to a temporary file,\n"
     "synced and renamed: they are there whole, or as they were.\n", NULL},
    {"log", "what the lines of train --log say",
     "A line is a JSON object; \"event\" says what it is about: start (the first line), step, epoch, best, ..., and end (the\n"
     "last one; a run that was killed has none). Each is written at once, so that the file can be followed. Readers\n"
     "pass over events and keys that they do not know. a.b: the key b in the object a; ?: not in every line.\n\n",
     lorac_log_print_keys},
    {NULL, NULL, NULL, NULL},
};
// clang-format on

void lorac_topic_print(const struct lorac_topic *topic, FILE *file)
{
    fputs(topic->text, file);
    if (topic->print)
        topic->print(file);
}

const struct lorac_topic *lorac_topic_find(const char *name)
{
    for (const struct lorac_topic *topic = lorac_topics; topic->name; topic++)
        if (strcmp(topic->name, name) == 0)
            return topic;
    return NULL;
}
