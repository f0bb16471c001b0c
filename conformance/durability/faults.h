/* Calls that shall fail: the rules of the file POWERLOSS_FAULTS, read again whenever it changes. A part of
 * powerloss.c, which asks under its lock; nothing here changes a file.
 *
 * A line is CALL CLASS SKIP COUNT ERRNO, such as `sync blob 2 1 EIO`: of the syncs of blobs the third fails, once.
 * Calls: sync, write, open (to write), name (mkdir, link, unlink). Classes: blob, wal, database, folder. Count 0 is
 * for ever. LOST instead of an error makes a sync that succeeds and keeps nothing. */
struct fault {
  char call[8], class[12];
  unsigned skip, count, seen;
  int error;
};

enum { FAULTS = 8, LOST = -1 };

static const char *faults_path;
static struct fault faults[FAULTS];
static size_t fault_count;

static int error_named(const char *name) {
  const struct {
    const char *name;
    int error;
  } known[] = {{"EIO", EIO}, {"ENOSPC", ENOSPC}, {"EROFS", EROFS}, {"EDQUOT", EDQUOT}, {"LOST", LOST}};
  for (size_t at = 0; at < sizeof known / sizeof *known; at++)
    if (!strcmp(known[at].name, name)) return known[at].error;
  errno = EINVAL;
  broken(name);
  return 0;
}

static void read_faults(void) {
  char text[1024], error[16];
  fault_count = 0;
  int fd = REAL(openat)(AT_FDCWD, faults_path, O_RDONLY | O_CLOEXEC);
  ssize_t length = fd < 0 ? 0 : read(fd, text, sizeof text - 1);
  if (fd >= 0) close(fd);
  text[length > 0 ? length : 0] = 0;
  char *rest = NULL;
  for (char *line = strtok_r(text, "\n", &rest); line && fault_count < FAULTS; line = strtok_r(NULL, "\n", &rest)) {
    struct fault fault = {0};
    errno = EINVAL;
    int words = sscanf(line, "%7s %11s %u %u %15s", fault.call, fault.class, &fault.skip, &fault.count, error);
    if (words != 5) broken(line);
    fault.error = error_named(error);
    faults[fault_count++] = fault;
  }
}

/* What this call shall answer instead of its work: an error, LOST, or 0 for nothing. Called under the lock. */
static int fault_of(const char *call, const char *class) {
  static struct stat last;
  struct stat now = {0};
  if (!faults_path) return 0;
  int saved = errno;
  if (stat(faults_path, &now) < 0) now.st_ino = 0;
  if (now.st_ino != last.st_ino || now.st_mtim.tv_nsec != last.st_mtim.tv_nsec ||
      now.st_mtim.tv_sec != last.st_mtim.tv_sec) {
    read_faults();
    last = now;
  }
  errno = saved;
  for (struct fault *fault = faults; fault < faults + fault_count; fault++) {
    if (strcmp(fault->call, call) || strcmp(fault->class, class)) continue;
    unsigned at = fault->seen++;
    if (at >= fault->skip && (!fault->count || at < fault->skip + fault->count)) return fault->error;
  }
  return 0;
}

/* Whether this call shall fail; then errno is set. */
static bool fails(const char *call, const char *class) {
  int error = fault_of(call, class);
  if (error > 0) errno = error;
  return error > 0;
}
