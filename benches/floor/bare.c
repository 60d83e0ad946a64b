/* What the system asks, without Python and without duewheel. Linux.

     bare lateness < DELAYS         (f) sleep until each of the rising delays, seconds from the start; how late it was
     bare sync FILE BYTES COUNT     (g) append so many bytes and sync them, so many times; how long each took

   One figure a line, in nanoseconds. */

#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

enum { GROWTH = 256 * 1024 };
static const int64_t SECOND = 1000000000;

static void check(int failed, const char *what) {
    if (failed) {
        perror(what);
        exit(1);
    }
}

static int64_t now(void) {
    struct timespec at;
    clock_gettime(CLOCK_BOOTTIME, &at);
    return at.tv_sec * SECOND + at.tv_nsec;
}

static void watch(int poll, int fd) {
    struct epoll_event event = {.events = EPOLLIN | EPOLLET};
    check(fd < 0 || epoll_ctl(poll, EPOLL_CTL_ADD, fd, &event) < 0, "epoll_ctl");
}

/* The sleep of rust/engine/src/sleep.rs: an epoll over two timers and what wakes it, edge-triggered, without slack. */
static void lateness(void) {
    int poll = epoll_create1(EPOLL_CLOEXEC);
    int flags = TFD_CLOEXEC | TFD_NONBLOCK;
    int wall = timerfd_create(CLOCK_REALTIME, flags), boot = timerfd_create(CLOCK_BOOTTIME, flags);
    watch(poll, wall);
    watch(poll, boot);
    watch(poll, eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    prctl(PR_SET_TIMERSLACK, 1, 0, 0, 0);
    size_t count = 0, room = 1 << 20;
    double *delays = malloc(room * sizeof *delays);
    while (count < room && scanf("%lf", &delays[count]) == 1) count++;
    int64_t *late = malloc(count * sizeof *late), start = now();
    for (size_t i = 0; i < count; i++) {
        int64_t due = start + (int64_t)(delays[i] * 1e9);
        struct itimerspec at = {.it_value = {.tv_sec = due / SECOND, .tv_nsec = due % SECOND}};
        check(timerfd_settime(boot, TFD_TIMER_ABSTIME, &at, NULL) < 0, "timerfd_settime");
        struct epoll_event events[3];
        check(epoll_wait(poll, events, 3, -1) < 0, "epoll_wait");
        late[i] = now() - due;
    }
    for (size_t i = 0; i < count; i++) printf("%lld\n", (long long)late[i]);
}

/* The write and the sync of a commit to the journal: into zeros that the file has already. */
static void sync_each(const char *path, size_t bytes, int count) {
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    check(fd < 0, path);
    char *record = malloc(bytes), *zeros = calloc(1, GROWTH);
    memset(record, 'x', bytes);
    off_t at = 0, size = 0;
    for (int i = 0; i < count; i++) {
        if (at + (off_t)bytes > size) {
            check(pwrite(fd, zeros, GROWTH, size) != GROWTH || fsync(fd) < 0, "grow");
            size += GROWTH;
        }
        int64_t begin = now();
        check(pwrite(fd, record, bytes, at) != (ssize_t)bytes || fdatasync(fd) < 0, "sync");
        printf("%lld\n", (long long)(now() - begin));
        at += bytes;
    }
}

int main(int argc, char **argv) {
    if (argc == 2 && !strcmp(argv[1], "lateness")) lateness();
    else if (argc == 5 && !strcmp(argv[1], "sync")) sync_each(argv[2], strtoul(argv[3], NULL, 10), atoi(argv[4]));
    else {
        fprintf(stderr, "bare lateness < DELAYS | bare sync FILE BYTES COUNT\n");
        return 2;
    }
    return 0;
}
