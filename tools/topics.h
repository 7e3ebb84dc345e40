// `lorac-onnx help TOPIC`: what is no command's own, in a few lines each.
#ifndef LORAC_TOPICS_H
#define LORAC_TOPICS_H

struct lorac_topic {
    const char *name;
    const char *summary; // one line for the list
    const char *text;    // lines, each ended
};

// All of them, ended by one with name == NULL.
extern const struct lorac_topic lorac_topics[];

// By its name; NULL where there is none.
const struct lorac_topic *lorac_topic_find(const char *name);

#endif
