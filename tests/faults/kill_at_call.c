/* Counts the calls of a process that change files or talk to others, in all its threads together, and kills it
   before the one that KILL_AT names. Of those that write or sync a database, FAIL_AT names the one that fails as
   on a full disk: these have numbers of their own, as threads never mix them with the network's in the same order
   twice. With FAIL_IN each write or sync of the files whose names end so fails. CALL_LOG names a file that gets a line for each call. Loaded by LD_PRELOAD; strace counts for each thread
   apart, which leaves the first calls of all threads but one untested. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

static long calls, syncs, kill_at, fail_at;
static const char *fail_in;
static int call_log = -1;

__attribute__((constructor)) static void begin(void) {
    const char *number = getenv("KILL_AT"), *failing = getenv("FAIL_AT"), *path = getenv("CALL_LOG");
    kill_at = number ? atol(number) : 0;
    fail_at = failing ? atol(failing) : 0;
    fail_in = getenv("FAIL_IN");
    if (path)
        call_log = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    /* For this process alone, not for its children. */
    unsetenv("LD_PRELOAD");
}

static int is_named(int fd) {
    char link[64], name[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t size = readlink(link, name, sizeof name), wanted = strlen(fail_in);
    return size >= wanted && !memcmp(name + size - wanted, fail_in, wanted);
}

static int fails(const char *line, int is_sync, int fd) {
    long number = __atomic_add_fetch(&calls, 1, __ATOMIC_SEQ_CST);
    if (call_log >= 0)
        syscall(SYS_write, call_log, line, strlen(line));
    if (number == kill_at)
        kill(getpid(), SIGKILL);
    if (!is_sync)
        return 0;
    if (__atomic_add_fetch(&syncs, 1, __ATOMIC_SEQ_CST) != fail_at && !(fail_in && is_named(fd)))
        return 0;
    errno = ENOSPC;
    return 1;
}

#define COUNTED(type, name, is_sync, declared, passed)                 \
    type name declared {                                               \
        static type(*original) declared;                               \
        if (!original)                                                 \
            original = (type(*) declared)dlsym(RTLD_NEXT, #name);      \
        if (fails(#name "\n", is_sync, fd))                                \
            return -1;                                                 \
        return original passed;                                        \
    }

COUNTED(ssize_t, write, 0, (int fd, const void *from, size_t size), (fd, from, size))
COUNTED(ssize_t, pwrite, 1, (int fd, const void *from, size_t size, off_t at), (fd, from, size, at))
COUNTED(ssize_t, pwrite64, 1, (int fd, const void *from, size_t size, off64_t at), (fd, from, size, at))
COUNTED(int, fsync, 1, (int fd), (fd))
COUNTED(int, fdatasync, 1, (int fd), (fd))
COUNTED(int, connect, 0, (int fd, const struct sockaddr *to, socklen_t size), (fd, to, size))
COUNTED(ssize_t, send, 0, (int fd, const void *from, size_t size, int flags), (fd, from, size, flags))
COUNTED(ssize_t, recv, 0, (int fd, void *into, size_t size, int flags), (fd, into, size, flags))
