/*
 * A machine under one process, loaded into it before libc (LD_PRELOAD): it can lose its power, and its disk can fail.
 *
 * Writes below MACHINE_DIRECTORY go through at once, as into a page cache: who reads sees them, and they outlive the
 * process. What they replaced is first appended to the file MACHINE_JOURNAL; fdatasync and fsync append how far that
 * file is on the disk now. When the machine loses its power, the test ends the process and puts back any choice of what
 * was replaced and not synchronised since (power.ts). Creations, renames and lengths are not undone.
 *
 * MACHINE_BOOT_ID names a file that is read in place of the kernel's boot id.
 * While the file MACHINE_FAULT exists, operations whose names it holds ("write", "sync") fail with EIO.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define SECTOR 512
#define MAGIC 0x4c4e524au /* JRNL */

enum { REPLACED = 1, SYNCHRONISED = 2 };

struct record {
  uint32_t magic;
  uint32_t kind;
  uint64_t inode;
  /* Of what was replaced; SYNCHRONISED: what the journal holds of the file before `offset` is on the disk. */
  uint64_t offset;
  uint64_t length;
};

static const char *directory, *fault, *boot_id;
static int journal = -1;

static ssize_t (*real_write)(int, const void *, size_t);
static ssize_t (*real_pwrite)(int, const void *, size_t, off_t);
static ssize_t (*real_writev)(int, const struct iovec *, int);
static ssize_t (*real_pwritev)(int, const struct iovec *, int, off_t);
static int (*real_fallocate)(int, int, off_t, off_t);
static int (*real_fdatasync)(int);
static int (*real_fsync)(int);
static int (*real_open)(const char *, int, ...);
static void *(*real_dlopen)(const char *, int);

static void begin(void) {
  static int begun = 0;
  if (begun) return;
  begun = 1;
  real_write = dlsym(RTLD_NEXT, "write");
  real_pwrite = dlsym(RTLD_NEXT, "pwrite64");
  real_writev = dlsym(RTLD_NEXT, "writev");
  real_pwritev = dlsym(RTLD_NEXT, "pwritev");
  real_fallocate = dlsym(RTLD_NEXT, "fallocate64");
  real_fdatasync = dlsym(RTLD_NEXT, "fdatasync");
  real_fsync = dlsym(RTLD_NEXT, "fsync");
  real_open = dlsym(RTLD_NEXT, "open64");
  real_dlopen = dlsym(RTLD_NEXT, "dlopen");
  directory = getenv("MACHINE_DIRECTORY");
  fault = getenv("MACHINE_FAULT");
  boot_id = getenv("MACHINE_BOOT_ID");
  const char *path = getenv("MACHINE_JOURNAL");
  if (path != NULL) journal = real_open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
}

__attribute__((constructor)) static void loaded(void) { begin(); }

static void give_up(const char *what) {
  char text[128];
  int length = snprintf(text, sizeof text, "machine.c: %s failed: %s\n", what, strerror(errno));
  real_write(2, text, (size_t)length);
  _exit(99);
}

/* A file of the directory: its inode number. Else 0. */
static uint64_t watched(int fd) {
  struct stat status;
  char link[32], path[PATH_MAX];
  begin();
  if (directory == NULL || fd == journal || fstat(fd, &status) != 0 || !S_ISREG(status.st_mode)) return 0;
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t length = readlink(link, path, sizeof path - 1);
  size_t prefix = strlen(directory);
  if (length <= (ssize_t)prefix || memcmp(path, directory, prefix) != 0 || path[prefix] != '/') return 0;
  return status.st_ino;
}

static int fails(const char *operation) {
  char text[64];
  if (fault == NULL) return 0;
  int fd = real_open(fault, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return 0;
  ssize_t length = read(fd, text, sizeof text - 1);
  close(fd);
  text[length > 0 ? length : 0] = 0;
  if (strstr(text, operation) == NULL) return 0;
  errno = EIO;
  return 1;
}

static void append(struct record *record, const void *content, size_t length) {
  struct iovec parts[2] = {{record, sizeof *record}, {(void *)content, length}};
  ssize_t whole = (ssize_t)(sizeof *record + length);
  if (real_writev(journal, parts, length > 0 ? 2 : 1) != whole) give_up("the journal");
}

/* Before bytes [offset, offset + length) change. Whole sectors; what lies past the end is zero. */
static void keep(uint64_t inode, int fd, uint64_t offset, uint64_t length) {
  if (journal < 0 || length == 0) return;
  uint64_t start = offset / SECTOR * SECTOR;
  uint64_t end = (offset + length + SECTOR - 1) / SECTOR * SECTOR;
  char *content = calloc(1, end - start);
  if (content == NULL || pread(fd, content, end - start, (off_t)start) < 0) give_up("reading what is replaced");
  struct record record = {MAGIC, REPLACED, inode, start, end - start};
  append(&record, content, end - start);
  free(content);
}

static uint64_t total(const struct iovec *chunks, int count) {
  uint64_t sum = 0;
  for (int at = 0; at < count; at++) sum += chunks[at].iov_len;
  return sum;
}

/* 0: it may go on. */
static int before_write(int fd, off_t offset, uint64_t length) {
  uint64_t inode = watched(fd);
  if (inode == 0) return 0;
  if (fails("write")) return -1;
  if (offset < 0) offset = lseek(fd, 0, SEEK_CUR);
  keep(inode, fd, (uint64_t)offset, length);
  return 0;
}

ssize_t write(int fd, const void *content, size_t length) {
  return before_write(fd, -1, length) < 0 ? -1 : real_write(fd, content, length);
}

ssize_t pwrite(int fd, const void *content, size_t length, off_t offset) {
  return before_write(fd, offset, length) < 0 ? -1 : real_pwrite(fd, content, length, offset);
}

ssize_t pwrite64(int fd, const void *content, size_t length, off_t offset) {
  return pwrite(fd, content, length, offset);
}

ssize_t writev(int fd, const struct iovec *chunks, int count) {
  return before_write(fd, -1, total(chunks, count)) < 0 ? -1 : real_writev(fd, chunks, count);
}

ssize_t pwritev(int fd, const struct iovec *chunks, int count, off_t offset) {
  return before_write(fd, offset, total(chunks, count)) < 0 ? -1 : real_pwritev(fd, chunks, count, offset);
}

ssize_t pwritev64(int fd, const struct iovec *chunks, int count, off_t offset) {
  return pwritev(fd, chunks, count, offset);
}

int fallocate(int fd, int mode, off_t offset, off_t length) {
  return before_write(fd, offset, (uint64_t)length) < 0 ? -1 : real_fallocate(fd, mode, offset, length);
}

int fallocate64(int fd, int mode, off_t offset, off_t length) { return fallocate(fd, mode, offset, length); }

static int synchronise(int fd, int (*real)(int)) {
  uint64_t inode = watched(fd);
  if (inode == 0) return real(fd);
  if (fails("sync")) return -1;
  if (journal < 0) return real(fd);
  /* What others write meanwhile does not count. */
  uint64_t before = (uint64_t)lseek(journal, 0, SEEK_END);
  if (real(fd) != 0) return -1;
  struct record record = {MAGIC, SYNCHRONISED, inode, before, 0};
  append(&record, NULL, 0);
  return 0;
}

int fdatasync(int fd) {
  begin();
  return synchronise(fd, real_fdatasync);
}

int fsync(int fd) {
  begin();
  return synchronise(fd, real_fsync);
}

static int open_with(const char *path, int flags, mode_t mode) {
  begin();
  if (boot_id != NULL && strcmp(path, "/proc/sys/kernel/random/boot_id") == 0) path = boot_id;
  return real_open(path, flags, mode);
}

int open(const char *path, int flags, ...) {
  va_list rest;
  va_start(rest, flags);
  mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0;
  va_end(rest);
  return open_with(path, flags, mode);
}

int open64(const char *path, int flags, ...) {
  va_list rest;
  va_start(rest, flags);
  mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0;
  va_end(rest);
  return open_with(path, flags, mode);
}

/* Who asks libc for fallocate by its handle shall get ours too. */
void *dlopen(const char *path, int flags) {
  begin();
  if (path != NULL && strcmp(path, "libc.so.6") == 0) path = NULL;
  return real_dlopen(path, flags);
}
