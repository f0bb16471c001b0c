/* A power loss for one folder: a preloaded library that keeps an undo journal of everything a program did to the
 * files of POWERLOSS_FOLDER and did not sync. It judges nothing and puts nothing back: the restore in
 * src/durability/restore.rs reads the journal after the kill. Start reading at `before_write` and `synced`.
 *
 * SIGKILL leaves the kernel's page cache alive, so a killed program looks durable whether it syncs or not. Here every
 * write first appends the bytes it is about to replace to POWERLOSS_JOURNAL/log, every new or removed name is
 * noted, and every sync is noted with the end of the log when it began: what the log holds beyond that was not
 * covered. All of it happens before the call itself, so a kill between the two leaves an undo of nothing.
 *
 * The model is POSIX, not one file system's kindness: fsync of a file keeps its bytes and its size, only fsync of the
 * folder keeps its name, and sync_file_range keeps nothing. After a failed sync the pages count as clean, as Linux
 * treats them: a later sync that answers 0 does not bring them back. Every file is held by a second name in
 * POWERLOSS_JOURNAL/files (on the same file system), so inode numbers stay unique and unlinked bytes stay
 * reachable. Names that end in -shm are left out: SQLite maps that file and rebuilds it, the restore removes it.
 * What the model cannot follow (a writable shared mapping, a moved folder, splice) is noted and the restore refuses.
 * Not seen at all: stdio and raw system calls.
 *
 * POWERLOSS_FAULTS names a file of calls that shall fail, and of syncs that shall count as not done: see faults.h.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define REAL(name)                                                             \
  ({                                                                           \
    static __typeof__(name) *found;                                            \
    if (!found) found = (__typeof__(name) *)next_symbol(#name);                \
    found;                                                                     \
  })

/* The kinds of record; the letters are the journal's format, journal.rs reads them. */
enum kind {
  WRITE = 'W',
  SYNC = 'S',
  FAILED = 'F',
  CREATED = 'C',
  REMOVED = 'R',
  FOLDER_SYNC = 'D',
  ALL_SYNC = 'A',
  UNMODELLED = 'U',
};

/* One record of the log, in the machine's byte order; the path and the replaced bytes follow. */
struct record {
  uint32_t magic, kind;
  uint64_t file, offset, length; /* WRITE: the range; REMOVED: offset is the file's mode */
  uint64_t size;                 /* WRITE: the size before */
  uint64_t upto;                 /* syncs: the log's length when the call began */
  uint32_t path_length, data_length;
};

/* A directory entry inside the folder. */
struct place {
  int parent;
  char path[PATH_MAX]; /* from the folder */
  const char *name;
};

enum { MAGIC = 0x4c4c4148 };

static bool active;
static char folder[PATH_MAX];
static size_t folder_length;
static dev_t device;
static int journal = -1, files = -1;
static uint64_t position; /* of the log's end, under the lock */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void *next_symbol(const char *name) {
  void *symbol = dlsym(RTLD_NEXT, name);
  if (!symbol) {
    fprintf(stderr, "powerloss: no %s\n", name);
    abort();
  }
  return symbol;
}

/* A model that lost a record proves nothing, so the program does not go on. */
static void broken(const char *what) {
  fprintf(stderr, "powerloss: %s: %s\n", what, strerror(errno));
  abort();
}

#include "faults.h"

__attribute__((constructor)) static void start(void) {
  const char *wanted = getenv("POWERLOSS_FOLDER"), *place = getenv("POWERLOSS_JOURNAL");
  char path[PATH_MAX];
  struct stat st;
  if (!wanted || !place) return;
  if (!realpath(wanted, folder) || stat(folder, &st) < 0) broken(wanted);
  folder_length = strlen(folder);
  device = st.st_dev;
  snprintf(path, sizeof path, "%s/files", place);
  files = REAL(openat)(AT_FDCWD, path, O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (files < 0) broken(path);
  snprintf(path, sizeof path, "%s/log", place);
  journal = REAL(openat)(AT_FDCWD, path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  if (journal < 0 || fstat(journal, &st) < 0) broken(path);
  position = st.st_size;
  faults_path = getenv("POWERLOSS_FAULTS");
  active = true;
}

static void append(struct record record, const char *path, const void *data) {
  record.magic = MAGIC;
  record.path_length = path ? strlen(path) : 0;
  struct iovec parts[] = {
      {&record, sizeof record},
      {(void *)path, record.path_length},
      {(void *)data, record.data_length},
  };
  ssize_t whole = sizeof record + record.path_length + record.data_length;
  if (REAL(writev)(journal, parts, 3) != whole) broken("the journal");
  position += whole;
}

static void unmodelled(const char *call, const char *path) {
  char text[PATH_MAX + 64];
  snprintf(text, sizeof text, "%s %s", call, path);
  pthread_mutex_lock(&lock);
  append((struct record){.kind = UNMODELLED}, text, NULL);
  pthread_mutex_unlock(&lock);
}

/* Places, files and classes */

static bool ends_with(const char *text, const char *end) {
  size_t length = strlen(text), tail = strlen(end);
  return length >= tail && !strcmp(text + length - tail, end);
}

static bool path_of(int fd, char path[PATH_MAX]) {
  char link[32];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t length = readlink(link, path, PATH_MAX - 1);
  if (length < 0) return false;
  path[length] = 0;
  return true;
}

/* The path below the folder, "" for the folder itself, NULL outside. */
static const char *inside(const char *path) {
  if (strncmp(path, folder, folder_length)) return NULL;
  if (!path[folder_length]) return "";
  return path[folder_length] == '/' ? path + folder_length + 1 : NULL;
}

/* Resolves the folder that holds a name; false when it is outside, or the name is SQLite's shared memory. */
static bool locate(int at, const char *path, struct place *place) {
  char parent[PATH_MAX], real[PATH_MAX];
  if (!active || !path || strlen(path) >= sizeof parent) return false;
  strcpy(parent, path);
  for (size_t end = strlen(parent); end > 1 && parent[end - 1] == '/'; end--) parent[end - 1] = 0;
  char *slash = strrchr(parent, '/'), name[NAME_MAX + 1];
  snprintf(name, sizeof name, "%s", slash ? slash + 1 : parent);
  if (slash) slash[slash == parent] = 0;
  if (!*name || !strcmp(name, ".") || !strcmp(name, "..") || ends_with(name, "-shm")) return false;
  int saved = errno;
  place->parent = REAL(openat)(at, slash ? parent : ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
  errno = saved;
  if (place->parent < 0) return false;
  const char *below = path_of(place->parent, real) ? inside(real) : NULL;
  if (!below) {
    close(place->parent);
    return false;
  }
  int length = snprintf(place->path, sizeof place->path, "%s%s%s", below, *below ? "/" : "", name);
  place->name = place->path + length - strlen(name);
  return true;
}

static void file_name(ino_t file, char name[24]) { snprintf(name, 24, "%lu", (unsigned long)file); }

/* Gives a file its second name. */
static void keep(const struct place *place, ino_t file) {
  char name[24];
  int saved = errno;
  file_name(file, name);
  if (REAL(linkat)(place->parent, place->name, files, name, 0) < 0 && errno != EEXIST) broken(place->path);
  errno = saved;
}

static bool tracked(int fd, struct stat *st) {
  char name[24];
  int saved = errno;
  if (!active || fstat(fd, st) < 0 || !S_ISREG(st->st_mode) || st->st_dev != device) {
    errno = saved;
    return false;
  }
  file_name(st->st_ino, name);
  bool found = faccessat(files, name, F_OK, 0) == 0;
  errno = saved;
  return found;
}

static const char *class_of_name(const char *path) {
  if (ends_with(path, "-wal")) return "wal";
  return ends_with(path, "-journal") || ends_with(path, ".db") || ends_with(path, ".sqlite") ? "database" : "blob";
}

/* The folder that holds the database is of the database's class: losing its entries loses every fact at once, which
 * would hide whether the entries of blobs are synced. */
static const char *class_of_folder(int fd) {
  int copy = REAL(openat)(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  DIR *entries = copy < 0 ? NULL : fdopendir(copy);
  const char *class = "folder";
  for (struct dirent *entry; entries && (entry = readdir(entries));)
    if (strcmp(class_of_name(entry->d_name), "blob")) class = "database";
  if (entries) closedir(entries);
  return class;
}

/* Bytes */

/* Appends the undo of a change to [offset, offset + length) of a file. Called under the lock. */
static void journal_change(int fd, const struct stat *st, off_t offset, size_t length) {
  struct record record = {.kind = WRITE, .file = st->st_ino, .offset = offset, .length = length, .size = st->st_size};
  char *data = NULL, name[24];
  if (offset < st->st_size && length) {
    record.data_length = (off_t)length < st->st_size - offset ? (off_t)length : st->st_size - offset;
    data = malloc(record.data_length);
    /* A file opened for reading too is read through its own descriptor: closing another one would drop the locks
     * that SQLite holds on it. */
    bool own = (fcntl(fd, F_GETFL) & O_ACCMODE) == O_RDWR;
    file_name(st->st_ino, name);
    int source = own ? fd : REAL(openat)(files, name, O_RDONLY | O_CLOEXEC);
    if (!data || source < 0) broken("old bytes");
    if (pread(source, data, record.data_length, offset) != (ssize_t)record.data_length) broken("old bytes");
    if (!own) close(source);
  }
  append(record, NULL, data);
  free(data);
}

enum before { UNTRACKED, TRACKED, FAULTY };

/* TRACKED: the undo stands in the journal and the lock is held until after_write. An offset of -1 is the file's own. */
static enum before before_write(int fd, off_t offset, size_t length) {
  struct stat st;
  char path[PATH_MAX];
  int saved = errno;
  if (!tracked(fd, &st)) return UNTRACKED;
  pthread_mutex_lock(&lock);
  if (path_of(fd, path) && fails("write", class_of_name(path))) {
    pthread_mutex_unlock(&lock);
    return FAULTY;
  }
  if (fstat(fd, &st) < 0) broken("fstat");
  if (fcntl(fd, F_GETFL) & O_APPEND) offset = st.st_size;
  if (offset < 0) offset = lseek(fd, 0, SEEK_CUR);
  journal_change(fd, &st, offset, length);
  errno = saved;
  return TRACKED;
}

static void after_write(int fd, enum before before) {
  struct stat st;
  if (before != TRACKED) return;
  int saved = errno;
  if ((fcntl(fd, F_GETFL) & O_DSYNC) && fstat(fd, &st) == 0)
    append((struct record){.kind = SYNC, .file = st.st_ino, .upto = position}, NULL, NULL);
  pthread_mutex_unlock(&lock);
  errno = saved;
}

#define WRITES(fd, offset, length, call)                                       \
  enum before before = before_write(fd, offset, length);                       \
  if (before == FAULTY) return -1;                                             \
  ssize_t result = call;                                                       \
  after_write(fd, before);                                                     \
  return result

static size_t total(const struct iovec *parts, int count) {
  size_t sum = 0;
  while (count-- > 0) sum += parts++->iov_len;
  return sum;
}

ssize_t write(int fd, const void *data, size_t length) { WRITES(fd, -1, length, REAL(write)(fd, data, length)); }
ssize_t pwrite(int fd, const void *data, size_t length, off_t at) {
  WRITES(fd, at, length, REAL(pwrite)(fd, data, length, at));
}
ssize_t pwrite64(int fd, const void *data, size_t length, off64_t at) { return pwrite(fd, data, length, at); }
ssize_t writev(int fd, const struct iovec *parts, int count) {
  WRITES(fd, -1, total(parts, count), REAL(writev)(fd, parts, count));
}
ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t at) {
  WRITES(fd, at, total(parts, count), REAL(pwritev)(fd, parts, count, at));
}
ssize_t pwritev64(int fd, const struct iovec *parts, int count, off64_t at) { return pwritev(fd, parts, count, at); }
ssize_t pwritev2(int fd, const struct iovec *parts, int count, off_t at, int flags) {
  struct stat st;
  if (tracked(fd, &st)) unmodelled("pwritev2", "");
  return REAL(pwritev2)(fd, parts, count, at, flags);
}

/* No more than the source holds is copied, whatever length was asked for. */
static size_t at_most_source(int source, size_t length) {
  struct stat st;
  return fstat(source, &st) == 0 && S_ISREG(st.st_mode) && (size_t)st.st_size < length ? (size_t)st.st_size : length;
}

ssize_t copy_file_range(int in, off64_t *in_at, int out, off64_t *out_at, size_t length, unsigned flags) {
  WRITES(out, out_at ? *out_at : -1, at_most_source(in, length),
         REAL(copy_file_range)(in, in_at, out, out_at, length, flags));
}
ssize_t sendfile(int out, int in, off_t *at, size_t length) {
  WRITES(out, -1, at_most_source(in, length), REAL(sendfile)(out, in, at, length));
}
ssize_t sendfile64(int out, int in, off64_t *at, size_t length) { return sendfile(out, in, at, length); }
ssize_t splice(int in, off64_t *in_at, int out, off64_t *out_at, size_t length, unsigned flags) {
  struct stat st;
  if (tracked(out, &st)) unmodelled("splice", "");
  return REAL(splice)(in, in_at, out, out_at, length, flags);
}

int ftruncate(int fd, off_t size) {
  struct stat st;
  if (!tracked(fd, &st)) return REAL(ftruncate)(fd, size);
  bool shrinks = size < st.st_size;
  WRITES(fd, shrinks ? size : st.st_size, shrinks ? st.st_size - size : 0, REAL(ftruncate)(fd, size));
}
int ftruncate64(int fd, off64_t size) { return ftruncate(fd, size); }

/* Allocation changes the size at most; every other mode changes bytes in place or moves them. */
int fallocate(int fd, int mode, off_t offset, off_t length) {
  struct stat st;
  int followed = FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE;
  if (tracked(fd, &st) && mode & ~followed) unmodelled("fallocate", "");
  bool changes = mode & ~FALLOC_FL_KEEP_SIZE;
  WRITES(fd, offset, changes ? length : 0, REAL(fallocate)(fd, mode, offset, length));
}
int fallocate64(int fd, int mode, off64_t offset, off64_t length) { return fallocate(fd, mode, offset, length); }
int posix_fallocate(int fd, off_t offset, off_t length) {
  int saved = errno, result = fallocate(fd, 0, offset, length) < 0 ? errno : 0;
  errno = saved;
  return result;
}
int posix_fallocate64(int fd, off64_t offset, off64_t length) { return posix_fallocate(fd, offset, length); }

void *mmap(void *at, size_t length, int protection, int flags, int fd, off_t offset) {
  struct stat st;
  char path[PATH_MAX];
  bool shared = (flags & MAP_TYPE) != MAP_PRIVATE && !(flags & MAP_ANONYMOUS);
  if (shared && protection & PROT_WRITE && tracked(fd, &st)) unmodelled("mmap", path_of(fd, path) ? path : "");
  return REAL(mmap)(at, length, protection, flags, fd, offset);
}
void *mmap64(void *at, size_t length, int protection, int flags, int fd, off64_t offset) {
  return mmap(at, length, protection, flags, fd, offset);
}

/* Syncs */

static int synced(int fd, int (*sync_call)(int)) {
  struct stat st, kind;
  char path[PATH_MAX];
  int saved = errno;
  bool file = tracked(fd, &st), directory = active && fstat(fd, &kind) == 0 && S_ISDIR(kind.st_mode);
  const char *below = (file || directory) && path_of(fd, path) ? inside(path) : NULL;
  errno = saved;
  /* A file whose name is gone ("… (deleted)") still counts by its inode. */
  if (!file && !below) return sync_call(fd);
  const char *class = file ? class_of_name(path) : class_of_folder(fd);
  errno = saved;
  pthread_mutex_lock(&lock);
  uint64_t upto = position;
  int fault = fault_of("sync", class);
  pthread_mutex_unlock(&lock);
  if (fault > 0) errno = fault;
  int result = fault > 0 ? -1 : sync_call(fd);
  if (fault == LOST) return result;
  saved = errno;
  pthread_mutex_lock(&lock);
  if (file) append((struct record){.kind = result ? FAILED : SYNC, .file = st.st_ino, .upto = upto}, NULL, NULL);
  else if (!result) append((struct record){.kind = FOLDER_SYNC, .upto = upto}, below, NULL);
  pthread_mutex_unlock(&lock);
  errno = saved;
  return result;
}

int fsync(int fd) { return synced(fd, REAL(fsync)); }
int fdatasync(int fd) { return synced(fd, REAL(fdatasync)); }

static void sync_everything(uint64_t upto) {
  pthread_mutex_lock(&lock);
  append((struct record){.kind = ALL_SYNC, .upto = upto}, NULL, NULL);
  pthread_mutex_unlock(&lock);
}
static uint64_t log_end(void) {
  pthread_mutex_lock(&lock);
  uint64_t end = position;
  pthread_mutex_unlock(&lock);
  return end;
}
int syncfs(int fd) {
  struct stat st;
  bool ours = active && fstat(fd, &st) == 0 && st.st_dev == device;
  uint64_t upto = log_end();
  int result = REAL(syncfs)(fd);
  if (ours && !result) sync_everything(upto);
  return result;
}
void sync(void) {
  uint64_t upto = log_end();
  REAL(sync)();
  if (active) sync_everything(upto);
}

/* Names */

static void done(struct place *place) {
  int saved = errno;
  pthread_mutex_unlock(&lock);
  close(place->parent);
  errno = saved;
}

static void journal_created(const struct place *place) { append((struct record){.kind = CREATED}, place->path, NULL); }

/* Notes that a name is about to go; one that is not there is none. */
static void journal_removed(const struct place *place) {
  struct stat st;
  int saved = errno;
  if (fstatat(place->parent, place->name, &st, AT_SYMLINK_NOFOLLOW) == 0) {
    if (!S_ISDIR(st.st_mode)) keep(place, st.st_ino);
    append((struct record){.kind = REMOVED, .file = st.st_ino, .offset = st.st_mode}, place->path, NULL);
  }
  errno = saved;
}

/* The file is opened again to truncate it in the journal first: O_TRUNC gives no descriptor to read from. */
static void journal_truncated(const struct place *place, const struct stat *st) {
  int fd = REAL(openat)(place->parent, place->name, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
  if (fd < 0) return; /* then the open fails too */
  journal_change(fd, st, 0, st->st_size);
  close(fd);
}

static int open_in_place(struct place *place, int at, const char *path, int flags, mode_t mode) {
  struct stat st;
  int saved = errno;
  bool exists = fstatat(place->parent, place->name, &st, AT_SYMLINK_NOFOLLOW) == 0;
  errno = saved;
  if (fails("open", class_of_name(place->path))) return -1;
  if (!exists && flags & O_CREAT) journal_created(place);
  if (exists && S_ISREG(st.st_mode)) {
    keep(place, st.st_ino);
    if (flags & O_TRUNC && !(flags & O_EXCL) && st.st_size > 0) journal_truncated(place, &st);
  }
  int fd = REAL(openat)(at, path, flags, mode);
  if (fd >= 0 && !exists && fstat(fd, &st) == 0 && S_ISREG(st.st_mode)) keep(place, st.st_ino);
  return fd;
}

static int open_any(int at, const char *path, int flags, mode_t mode) {
  struct place place;
  bool writes = (flags & O_ACCMODE) != O_RDONLY || flags & (O_CREAT | O_TRUNC);
  if (!writes || flags & O_PATH || !locate(at, path, &place)) return REAL(openat)(at, path, flags, mode);
  if ((flags & O_TMPFILE) == O_TMPFILE) unmodelled("O_TMPFILE", place.path);
  pthread_mutex_lock(&lock);
  int fd = open_in_place(&place, at, path, flags, mode);
  done(&place);
  return fd;
}

#define MODE(flags, last)                                                      \
  mode_t mode = 0;                                                             \
  if ((flags) & O_CREAT || ((flags) & O_TMPFILE) == O_TMPFILE) {               \
    va_list rest;                                                              \
    va_start(rest, last);                                                      \
    mode = va_arg(rest, mode_t);                                               \
    va_end(rest);                                                              \
  }

int open(const char *path, int flags, ...) { MODE(flags, flags) return open_any(AT_FDCWD, path, flags, mode); }
int open64(const char *path, int flags, ...) { MODE(flags, flags) return open_any(AT_FDCWD, path, flags, mode); }
int openat(int at, const char *path, int flags, ...) { MODE(flags, flags) return open_any(at, path, flags, mode); }
int openat64(int at, const char *path, int flags, ...) { MODE(flags, flags) return open_any(at, path, flags, mode); }
int creat(const char *path, mode_t mode) { return open_any(AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode); }
int creat64(const char *path, mode_t mode) { return creat(path, mode); }
/* What the fortified open calls: without a mode. */
int __open_2(const char *path, int flags) { return open_any(AT_FDCWD, path, flags, 0); }
int __open64_2(const char *path, int flags) { return open_any(AT_FDCWD, path, flags, 0); }
int __openat_2(int at, const char *path, int flags) { return open_any(at, path, flags, 0); }
int __openat64_2(int at, const char *path, int flags) { return open_any(at, path, flags, 0); }

int truncate(const char *path, off_t size) {
  int fd = open_any(AT_FDCWD, path, O_WRONLY | O_CLOEXEC, 0), result = fd < 0 ? -1 : ftruncate(fd, size), saved = errno;
  if (fd >= 0) close(fd);
  errno = saved;
  return result;
}
int truncate64(const char *path, off64_t size) { return truncate(path, size); }

#define NAMES(folder_fd, spelled, note, call)                                           \
  struct place place;                                                          \
  if (!locate(folder_fd, spelled, &place)) return call;                         \
  pthread_mutex_lock(&lock);                                                   \
  int result = -1;                                                             \
  if (!fails("name", class_of_name(place.path))) {                             \
    note(&place);                                                              \
    result = call;                                                             \
  }                                                                            \
  done(&place);                                                                \
  return result

/* A name that exists already is not created: the call will say so, and the name must not be undone. */
static void journal_new(const struct place *place) {
  struct stat st;
  int saved = errno;
  if (fstatat(place->parent, place->name, &st, AT_SYMLINK_NOFOLLOW) < 0) journal_created(place);
  errno = saved;
}

int mkdirat(int at, const char *path, mode_t mode) { NAMES(at, path, journal_new, REAL(mkdirat)(at, path, mode)); }
int mkdir(const char *path, mode_t mode) { return mkdirat(AT_FDCWD, path, mode); }
int symlinkat(const char *target, int at, const char *path) {
  NAMES(at, path, journal_new, REAL(symlinkat)(target, at, path));
}
int symlink(const char *target, const char *path) { return symlinkat(target, AT_FDCWD, path); }
int unlinkat(int at, const char *path, int flags) { NAMES(at, path, journal_removed, REAL(unlinkat)(at, path, flags)); }
int unlink(const char *path) { return unlinkat(AT_FDCWD, path, 0); }
int rmdir(const char *path) { return unlinkat(AT_FDCWD, path, AT_REMOVEDIR); }
int remove(const char *path) {
  struct stat st;
  return unlinkat(AT_FDCWD, path, lstat(path, &st) == 0 && S_ISDIR(st.st_mode) ? AT_REMOVEDIR : 0);
}

/* The file of the old name is kept by it: the new one may lie in another folder. */
int linkat(int from_at, const char *from, int to_at, const char *to, int flags) {
  struct place old;
  struct stat st;
  if (locate(from_at, from, &old)) {
    int saved = errno;
    if (fstatat(old.parent, old.name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode)) keep(&old, st.st_ino);
    close(old.parent);
    errno = saved;
  }
  NAMES(to_at, to, journal_new, REAL(linkat)(from_at, from, to_at, to, flags));
}
int link(const char *from, const char *to) { return linkat(AT_FDCWD, from, AT_FDCWD, to, 0); }

/* A rename is the new name's creation and the old one's removal, each kept by its own folder's sync. */
int renameat2(int from_at, const char *from, int to_at, const char *to, unsigned flags) {
  struct place old, new;
  struct stat source, target;
  bool from_inside = locate(from_at, from, &old), to_inside = locate(to_at, to, &new);
  if (from_inside != to_inside) unmodelled("rename across the border", from_inside ? old.path : new.path);
  bool both = from_inside && to_inside;
  if (!both) {
    if (from_inside) close(old.parent);
    if (to_inside) close(new.parent);
    return REAL(renameat2)(from_at, from, to_at, to, flags);
  }
  int saved = errno;
  bool exists = fstatat(old.parent, old.name, &source, AT_SYMLINK_NOFOLLOW) == 0;
  bool replaces = fstatat(new.parent, new.name, &target, AT_SYMLINK_NOFOLLOW) == 0;
  errno = saved;
  if ((exists && S_ISDIR(source.st_mode)) || flags & ~RENAME_NOREPLACE) unmodelled("rename", old.path);
  bool refused = !exists || (replaces && (flags & RENAME_NOREPLACE || source.st_ino == target.st_ino));
  pthread_mutex_lock(&lock);
  if (!refused) {
    journal_removed(&new);
    journal_created(&new);
    journal_removed(&old);
  }
  int result = REAL(renameat2)(from_at, from, to_at, to, flags);
  saved = errno;
  close(new.parent);
  errno = saved;
  done(&old);
  return result;
}
int renameat(int from_at, const char *from, int to_at, const char *to) {
  return renameat2(from_at, from, to_at, to, 0);
}
int rename(const char *from, const char *to) { return renameat2(AT_FDCWD, from, AT_FDCWD, to, 0); }
