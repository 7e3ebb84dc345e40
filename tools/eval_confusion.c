#include "eval_details.h"

#include "report.h"

#include <stdlib.h>

const char *lorac_eval_class_name(const struct lorac_eval_details *details, size_t i)
{
    const char *name = lorac_class_name(details->net, i);
    return name || i >= details->dataset->class_count ? name : details->dataset->class_names[i];
}

// ---- cells: only those that are not zero, so that a thousand classes take no million

struct cell {
    size_t label, predicted;
    size_t images;       // of the class [label] that were taken for [predicted]
    size_t class_images; // of the class [label]
};
struct cells {
    struct cell *rows; // by label, then by prediction
    size_t count;
};

static int compare_places(const void *a, const void *b)
{
    const struct cell *left = a, *right = b;
    if (left->label != right->label)
        return left->label < right->label ? -1 : 1;
    return (left->predicted > right->predicted) - (left->predicted < right->predicted);
}

static int compare_images(const void *a, const void *b)
{
    const struct cell *left = a, *right = b;
    if (left->images != right->images)
        return left->images > right->images ? -1 : 1;
    return compare_places(a, b);
}

static void merge_equal(struct cells *cells)
{
    size_t count = 0;
    for (size_t i = 0; i < cells->count; i++)
        if (count > 0 && compare_places(&cells->rows[count - 1], &cells->rows[i]) == 0)
            cells->rows[count - 1].images++;
        else
            cells->rows[count++] = cells->rows[i];
    cells->count = count;
}

static void add_up_classes(struct cells *cells)
{
    for (size_t first = 0, end; first < cells->count; first = end) {
        size_t images = 0;
        for (end = first; end < cells->count && cells->rows[end].label == cells->rows[first].label; end++)
            images += cells->rows[end].images;
        for (size_t i = first; i < end; i++)
            cells->rows[i].class_images = images;
    }
}

static bool count_cells(const struct lorac_eval_details *details, struct cells *cells)
{
    const struct lorac_dataset *dataset = details->dataset;
    *cells = (struct cells){.rows = calloc(dataset->count, sizeof *cells->rows)};
    if (!cells->rows)
        return false;
    for (size_t i = 0; i < dataset->count; i++)
        if (details->predictions[i].predicted >= 0)
            cells->rows[cells->count++] = (struct cell){.label = (size_t)dataset->labels[i],
                                                        .predicted = (size_t)details->predictions[i].predicted,
                                                        .images = 1};
    qsort(cells->rows, cells->count, sizeof *cells->rows, compare_places);
    merge_equal(cells);
    add_up_classes(cells);
    return true;
}

// ---- text

static size_t images_at(const struct cells *cells, size_t label, size_t predicted)
{
    const struct cell wanted = {.label = label, .predicted = predicted};
    const struct cell *found = bsearch(&wanted, cells->rows, cells->count, sizeof *cells->rows, compare_places);
    return found ? found->images : 0;
}

static void fill_matrix(const struct lorac_eval_details *details, const struct cells *cells, struct lorac_table *table)
{
    const size_t classes = details->net->classes;
    lorac_table_cell(table, "class");
    lorac_table_cell(table, "name");
    for (size_t i = 0; i < classes; i++)
        lorac_table_cell(table, "%zu", i);
    for (size_t label = 0; label < classes; label++) {
        const char *name = lorac_eval_class_name(details, label);
        lorac_table_cell(table, "%zu", label);
        lorac_table_cell(table, "%s", name ? name : "-");
        for (size_t i = 0; i < classes; i++)
            lorac_table_cell(table, "%zu", images_at(cells, label, i));
    }
}

static enum lorac_status print_matrix(const struct lorac_eval_details *details, const struct cells *cells,
                                      struct lorac_error *error)
{
    char align[LORAC_CONFUSION_TABLE + 3] = "rl";
    struct lorac_table table;
    for (size_t i = 0; i < details->net->classes; i++)
        align[2 + i] = 'r';
    lorac_table_init(&table, 2 + details->net->classes, align, NULL);
    fill_matrix(details, cells, &table);
    printf("\nconfusion: images of each class (rows) by the class that the model gave (columns)\n");
    return lorac_table_finish(&table, stdout, error);
}

enum { MOST_CONFUSIONS = 20 };

static enum lorac_status print_largest(const struct lorac_eval_details *details, struct cells *cells,
                                       struct lorac_error *error)
{
    static const char *const headers[] = {"class", "name", "taken for", "name", "images", "of the class"};
    struct lorac_table table;
    size_t shown = 0, wrong = 0;
    lorac_table_init(&table, 6, "rlrlrr", headers);
    qsort(cells->rows, cells->count, sizeof *cells->rows, compare_images);
    for (size_t i = 0; i < cells->count; i++) {
        const struct cell *cell = &cells->rows[i];
        if (cell->label == cell->predicted)
            continue;
        wrong++;
        if (shown == MOST_CONFUSIONS)
            continue;
        shown++;
        const char *name = lorac_eval_class_name(details, cell->label);
        const char *taken = lorac_eval_class_name(details, cell->predicted);
        lorac_table_cell(&table, "%zu", cell->label);
        lorac_table_cell(&table, "%s", name ? name : "-");
        lorac_table_cell(&table, "%zu", cell->predicted);
        lorac_table_cell(&table, "%s", taken ? taken : "-");
        lorac_table_cell(&table, "%zu", cell->images);
        lorac_table_cell(&table, "%.2f %%", 100 * (double)cell->images / (double)cell->class_images);
    }
    printf("\nconfusion: the %zu most frequent of %zu pairs of classes (--json has all)\n", shown, wrong);
    return lorac_table_finish(&table, stdout, error);
}

enum lorac_status lorac_confusion_print(const struct lorac_eval_details *details, struct lorac_error *error)
{
    struct cells cells;
    if (!count_cells(details, &cells))
        return lorac_error_set(error, LORAC_ERROR_MEMORY, "out of memory for the confusion of %zu images",
                               details->dataset->count);
    enum lorac_status status = details->net->classes > LORAC_CONFUSION_TABLE ? print_largest(details, &cells, error)
                                                                             : print_matrix(details, &cells, error);
    free(cells.rows);
    return status;
}

// ---- JSON

// The class of rows[first], whose cells end before [end].
static json_t *class_json(const struct lorac_eval_details *details, const struct cells *cells, size_t first, size_t end)
{
    json_t *predicted = json_array();
    const size_t label = cells->rows[first].label;
    for (size_t i = first; predicted && i < end; i++) {
        const struct cell *cell = &cells->rows[i];
        json_t *row =
            json_pack("{s:I, s:I}", "class", (json_int_t)cell->predicted, "images", (json_int_t)cell->images);
        predicted = lorac_json_with_item(predicted, row);
    }
    return json_pack("{s:I, s:o, s:I, s:o}", "class", (json_int_t)label, "name",
                     lorac_json_text(lorac_eval_class_name(details, label)), "images",
                     (json_int_t)cells->rows[first].class_images, "predicted", predicted);
}

json_t *lorac_confusion_json(const struct lorac_eval_details *details)
{
    struct cells cells;
    if (!count_cells(details, &cells))
        return NULL;
    json_t *rows = json_array();
    for (size_t first = 0, end; rows && first < cells.count; first = end) {
        for (end = first; end < cells.count && cells.rows[end].label == cells.rows[first].label;)
            end++;
        rows = lorac_json_with_item(rows, class_json(details, &cells, first, end));
    }
    free(cells.rows);
    return rows;
}
