// `lorac-onnx help TOPIC`: what is no command's own, in a few lines each.
#ifndef LORAC_TOPICS_H
#define LORAC_TOPICS_H

#include <stdio.h>

struct lorac_topic {
    const char *name;
    const char *summary; // one line for the list
    const char *text;    // lines, each ended
    void (*print)(FILE *file); // what comes behind the text; NULL: nothing
};

// All of them, ended by one with name == NULL.
extern const struct lorac_topic lorac_topics[];

// The text and what comes behind it.
void lorac_topic_print(const struct lorac_topic *topic, FILE *file);

// By its name; NULL where there is none.
const struct lorac_topic *lorac_topic_find(const char *name);

#endif
