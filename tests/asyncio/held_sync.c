/* Preloaded: every sync to disk lasts for as long as the file $HOLD is there. Each is noted in the file $SYNCS,
   "+" and "-" with the number of its thread, so that a test knows who makes it, and when. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

static void note(char what) {
    char line[32];
    int length = snprintf(line, sizeof line, "%c%ld\n", what, (long)syscall(SYS_gettid));
    int file = open(getenv("SYNCS"), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (write(file, line, length) != length) abort();
    close(file);
}

static int held(long call, int fd) {
    note('+');
    while (access(getenv("HOLD"), F_OK) == 0) usleep(500);
    int result = syscall(call, fd);
    note('-');
    return result;
}

int fsync(int fd) { return held(SYS_fsync, fd); }
int fdatasync(int fd) { return held(SYS_fdatasync, fd); }
