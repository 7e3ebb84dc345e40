#include "eval_details.h"

#include "report.h"

#include <stdlib.h>

struct wrong {
    size_t image; // of the dataset
    double loss;
};
struct wrongs {
    struct wrong *rows; // largest loss first, then in the set's order
    size_t count;       // of all that are wrong
};

static int compare(const void *a, const void *b)
{
    const struct wrong *left = a, *right = b;
    if (left->loss != right->loss)
        return left->loss > right->loss ? -1 : 1;
    return left->image < right->image ? -1 : 1;
}

static bool find_wrong(const struct lorac_eval_details *details, struct wrongs *wrongs)
{
    const struct lorac_dataset *dataset = details->dataset;
    *wrongs = (struct wrongs){.rows = calloc(dataset->count, sizeof *wrongs->rows)};
    if (!wrongs->rows)
        return false;
    for (size_t i = 0; i < dataset->count; i++) {
        const struct lorac_prediction *prediction = &details->predictions[i];
        if (prediction->predicted >= 0 && prediction->predicted != dataset->labels[i])
            wrongs->rows[wrongs->count++] = (struct wrong){i, prediction->loss};
    }
    qsort(wrongs->rows, wrongs->count, sizeof *wrongs->rows, compare);
    return true;
}

// The file of an image, NULL in a set that is one file.
static const char *path_of(const struct lorac_eval_details *details, size_t image)
{
    return lorac_dataset_path(details->dataset, image);
}

// "3 Dress", or "3" where the class has no name.
static void add_class(struct lorac_table *table, const struct lorac_eval_details *details, int32_t class_index)
{
    const char *name = lorac_eval_class_name(details, (size_t)class_index);
    lorac_table_cell(table, "%d%s%s", (int)class_index, name ? " " : "", name ? name : "");
}

static void add_row(struct lorac_table *table, const struct lorac_eval_details *details, size_t image)
{
    const struct lorac_prediction *prediction = &details->predictions[image];
    const char *path = path_of(details, image);
    if (path)
        lorac_table_cell(table, "%s", path);
    else
        lorac_table_cell(table, "%zu", details->dataset->first_index + image);
    add_class(table, details, details->dataset->labels[image]);
    add_class(table, details, prediction->predicted);
    lorac_table_cell(table, "%.2f %%", 100 * (double)prediction->confidence);
    lorac_table_cell(table, "%.4f", prediction->loss);
}

enum lorac_status lorac_wrong_print(const struct lorac_eval_details *details, size_t most, struct lorac_error *error)
{
    static const char *const headers[] = {"image", "class", "taken for", "confidence", "loss"};
    struct wrongs wrongs;
    struct lorac_table table;
    if (!find_wrong(details, &wrongs))
        return lorac_error_set(error, LORAC_ERROR_MEMORY, "out of memory for the losses of %zu images",
                               details->dataset->count);
    const size_t shown = most < wrongs.count ? most : wrongs.count;
    lorac_table_init(&table, 5, path_of(details, 0) ? "lllrr" : "rllrr", headers);
    for (size_t i = 0; i < shown; i++)
        add_row(&table, details, wrongs.rows[i].image);
    printf("\nwrong: the %zu with the largest loss of %zu images\n", shown, wrongs.count);
    enum lorac_status status = LORAC_OK;
    if (shown > 0)
        status = lorac_table_finish(&table, stdout, error);
    else
        lorac_table_clear(&table);
    free(wrongs.rows);
    return status;
}

static json_t *row_json(const struct lorac_eval_details *details, size_t image)
{
    const struct lorac_prediction *prediction = &details->predictions[image];
    const int32_t label = details->dataset->labels[image];
    return json_pack("{s:I, s:o, s:I, s:o, s:I, s:o, s:o, s:o}", "index",
                     (json_int_t)(details->dataset->first_index + image), "path",
                     lorac_json_text(path_of(details, image)), "class", (json_int_t)label, "name",
                     lorac_json_text(lorac_eval_class_name(details, (size_t)label)), "predicted",
                     (json_int_t)prediction->predicted, "predicted_name",
                     lorac_json_text(lorac_eval_class_name(details, (size_t)prediction->predicted)), "confidence",
                     lorac_json_number((double)prediction->confidence), "loss", lorac_json_number(prediction->loss));
}

json_t *lorac_wrong_json(const struct lorac_eval_details *details, size_t most)
{
    struct wrongs wrongs;
    if (!find_wrong(details, &wrongs))
        return NULL;
    json_t *rows = json_array();
    for (size_t i = 0; rows && i < wrongs.count && i < most; i++)
        rows = lorac_json_with_item(rows, row_json(details, wrongs.rows[i].image));
    free(wrongs.rows);
    return rows;
}
