/*
 * The load of the benchmark: a pipelined iSCSI initiator on plain sockets, in C, so that the client
 * costs as little as it can. One thread, one epoll, N sessions of one connection each; payload is
 * sent from and received into reused buffers. Prints one line of JSON. RFC 7143; no digests, no
 * authentication, error recovery level 0.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum { BHS = 48, MAX_DEPTH = 128, MAX_SESSIONS = 16, RECEIVE = 256 * 1024, SEND_PDUS = 512, BUCKETS = 64 * 40, FLUSH_EVERY = 8 };
enum mode { READ, WRITE, MIX, FILL, FLUSH };

struct task { uint64_t started; uint32_t length; uint64_t offset; int writes; };
struct pdu { uint8_t header[BHS]; uint32_t payload; };
struct session {
  int fd, inflight, want_write, armed, unflushed; /* writes since the last flush */
  uint32_t cmdsn, statsn, maxcmdsn, target_segment, first_burst, immediate, initial_r2t;
  struct task tasks[MAX_DEPTH];
  int idle[MAX_DEPTH], idle_count;
  struct pdu *out; unsigned head, tail; size_t sent; /* a ring of PDUs that wait to be sent, and how much of its head is out */
  uint8_t *in; size_t in_bytes, skip;                 /* received bytes not yet parsed, and payload still to be thrown away */
};

static struct session sessions[MAX_SESSIONS];
static uint8_t *payload, zeroes[4];
static uint64_t histogram[BUCKETS], operations, bytes, max_latency, seed = 1, fill_next, working_set = 1ull << 30;
static uint32_t block = 4096, lun = 0;
static int depth = 1, session_count = 1, stopping;
static enum mode mode = READ;
static const char *target = "", *initiator = "iqn.2016-09.com.openebs:bench";

static void fail(const char *what) { fprintf(stderr, "client: %s (%s)\n", what, strerror(errno)); exit(1); }
static uint64_t now(void) { struct timespec t; clock_gettime(CLOCK_MONOTONIC, &t); return t.tv_sec * 1000000000ull + t.tv_nsec; }
static void put32(uint8_t *at, uint32_t v) { v = htobe32(v); memcpy(at, &v, 4); }
static uint32_t get32(const uint8_t *at) { uint32_t v; memcpy(&v, at, 4); return be32toh(v); }
static uint32_t data_length(const uint8_t *h) { return h[5] << 16 | h[6] << 8 | h[7]; }
static uint64_t rnd(void) { /* xorshift64* */
  seed ^= seed >> 12; seed ^= seed << 25; seed ^= seed >> 27; return seed * 2685821657736338717ull;
}

/* 64 buckets to each power of two: a percentile is exact to 1.6 %. */
static void record(uint64_t ns) {
  int power = ns < 64 ? 0 : 63 - __builtin_clzll(ns) - 5;
  unsigned bucket = power == 0 ? (unsigned)ns : power * 64 + (unsigned)((ns >> (power - 1)) & 63);
  histogram[bucket < BUCKETS ? bucket : BUCKETS - 1]++;
  if (ns > max_latency) max_latency = ns;
}
static double percentile(double fraction) {
  uint64_t seen = 0, wanted = (uint64_t)(fraction * operations);
  for (unsigned i = 0; i < BUCKETS; i++)
    if ((seen += histogram[i]) > wanted) {
      unsigned power = i / 64;
      return (power == 0 ? i : (double)((64ull + i % 64) << (power - 1))) / 1000;
    }
  return max_latency / 1000.0;
}

static void exactly(int fd, void *buffer, size_t length, int sending) {
  for (size_t done = 0; done < length;) {
    ssize_t n = sending ? send(fd, (char *)buffer + done, length - done, MSG_NOSIGNAL) : recv(fd, (char *)buffer + done, length - done, 0);
    if (n <= 0) fail("the target closed the connection during login");
    done += n;
  }
}
static long number(const char *text, size_t length, const char *key, long otherwise) {
  size_t key_length = strlen(key);
  for (const char *at = text; at < text + length; at += strlen(at) + 1)
    if (!strncmp(at, key, key_length) && at[key_length] == '=') {
      const char *value = at + key_length + 1;
      return !strcmp(value, "Yes") ? 1 : !strcmp(value, "No") ? 0 : strtol(value, NULL, 0);
    }
  return otherwise;
}

/* Takes the unit attention that a new nexus is told (SPC-4 5.14), so that the load does not meet it. */
static int test_unit_ready(struct session *s) {
  uint8_t h[BHS] = {0}, sense[1024];
  h[0] = 0x01; h[1] = 0x81; h[9] = lun; put32(h + 24, s->cmdsn++); put32(h + 28, s->statsn);
  exactly(s->fd, h, BHS, 1); exactly(s->fd, h, BHS, 0);
  if (h[0] != 0x21 || data_length(h) > sizeof sense) fail("no SCSI response to TEST UNIT READY");
  exactly(s->fd, sense, (data_length(h) + 3) & ~3u, 0);
  s->statsn = get32(h + 24) + 1; s->maxcmdsn = get32(h + 32);
  return h[3];
}
/* RFC 7143 6.3: straight into operational negotiation, as no authentication is asked for. */
static void login(struct session *s, int index, const char *host, int port) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
  int one = 1, length;
  char text[2048], answer[65536];
  uint8_t h[BHS] = {0};
  if (inet_pton(AF_INET, host, &address.sin_addr) != 1) fail("--host takes an IPv4 address");
  s->fd = socket(AF_INET, SOCK_STREAM, 0);
  if (connect(s->fd, (void *)&address, sizeof address)) fail("cannot connect");
  setsockopt(s->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  length = snprintf(text, sizeof text, "InitiatorName=%s%cTargetName=%s%cSessionType=Normal%cHeaderDigest=None%cDataDigest=None%c"
    "InitialR2T=No%cImmediateData=Yes%cMaxRecvDataSegmentLength=1048576%cMaxBurstLength=1048576%cFirstBurstLength=262144%c"
    "MaxOutstandingR2T=8%cMaxConnections=1%cDataPDUInOrder=Yes%cDataSequenceInOrder=Yes%cErrorRecoveryLevel=0%c",
    initiator, 0, target, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);
  h[0] = 0x43; h[1] = 0x87; /* login, immediate; transit from operational negotiation to full feature phase */
  h[5] = length >> 16; h[6] = length >> 8; h[7] = length;
  h[8] = 0x80; h[9] = getpid(); h[10] = getpid() >> 8; h[12] = index; put32(h + 16, 1); put32(h + 24, 1);
  exactly(s->fd, h, BHS, 1); exactly(s->fd, text, length, 1); exactly(s->fd, zeroes, -length & 3, 1);
  exactly(s->fd, h, BHS, 0);
  length = data_length(h);
  if (length > (int)sizeof answer - 4) fail("login answer too long");
  exactly(s->fd, answer, (length + 3) & ~3, 0);
  answer[length] = 0;
  if (h[0] != 0x23 || h[36] || (h[1] & 0x83) != 0x83) { fprintf(stderr, "client: login refused, status %02x%02x flags %02x\n", h[36], h[37], h[1]); exit(1); }
  s->statsn = get32(h + 24) + 1; s->cmdsn = get32(h + 28); s->maxcmdsn = get32(h + 32);
  s->target_segment = number(answer, length, "MaxRecvDataSegmentLength", 8192);
  s->first_burst = number(answer, length, "FirstBurstLength", 65536);
  s->immediate = number(answer, length, "ImmediateData", 1);
  s->initial_r2t = number(answer, length, "InitialR2T", 1);
  for (int tries = 0; test_unit_ready(s); tries++) if (tries == 5) fail("the unit is not ready");
  s->out = calloc(SEND_PDUS * 16, sizeof *s->out);
  s->in = malloc(RECEIVE);
  for (int i = 0; i < depth; i++) s->idle[s->idle_count++] = i;
  fcntl(s->fd, F_SETFL, O_NONBLOCK);
}

static struct pdu *queue(struct session *s, uint32_t payload_bytes) {
  struct pdu *p = &s->out[s->tail++ % (SEND_PDUS * 16)];
  if (s->tail - s->head > SEND_PDUS * 16) fail("send queue overflow");
  memset(p->header, 0, BHS);
  p->payload = payload_bytes;
  p->header[5] = payload_bytes >> 16; p->header[6] = payload_bytes >> 8; p->header[7] = payload_bytes;
  return p;
}
/* RFC 7143 11.7: one sequence of Data-Out, cut at what the target accepts in one PDU. */
static void data_out(struct session *s, uint32_t tag, uint32_t transfer, uint32_t offset, uint32_t length) {
  for (uint32_t sn = 0; length > 0; sn++) {
    uint32_t part = length < s->target_segment ? length : s->target_segment;
    struct pdu *p = queue(s, part);
    p->header[0] = 0x05; p->header[1] = part == length ? 0x80 : 0;
    p->header[9] = lun; put32(p->header + 16, tag); put32(p->header + 20, transfer);
    put32(p->header + 28, s->statsn); put32(p->header + 36, sn); put32(p->header + 40, offset);
    offset += part; length -= part;
  }
}
/* SYNCHRONIZE CACHE (10) of the whole unit; not counted as an operation. */
static void synchronize(struct session *s) {
  uint32_t tag = s->idle[--s->idle_count];
  s->tasks[tag].length = 0;
  struct pdu *p = queue(s, 0);
  p->header[0] = 0x01; p->header[1] = 0x81; p->header[9] = lun; put32(p->header + 16, tag);
  put32(p->header + 24, s->cmdsn++); put32(p->header + 28, s->statsn); p->header[32] = 0x35;
  s->inflight++;
}
static int command(struct session *s) {
  if (s->idle_count == 0 || stopping || (int32_t)(s->maxcmdsn - s->cmdsn) < 0) return 0;
  if (mode == FILL && fill_next >= working_set) return 0;
  /* As fio does it with fsync=8: what is in flight ends before the flush, and nothing begins meanwhile. */
  if (mode == FLUSH && s->unflushed == FLUSH_EVERY) { if (s->inflight == 0) synchronize(s); return 0; }
  uint32_t tag = s->idle[--s->idle_count], now_sent = 0, unsolicited = 0;
  s->unflushed++;
  struct task *t = &s->tasks[tag];
  t->length = block;
  t->offset = mode == FILL ? fill_next : rnd() % (working_set / block) * block;
  t->writes = mode == FILL || mode == FLUSH || mode == WRITE || (mode == MIX && rnd() >> 63);
  if (mode == FILL) fill_next += block;
  if (t->writes) {
    uint32_t burst = block < s->first_burst ? block : s->first_burst;
    if (s->immediate) now_sent = burst < s->target_segment ? burst : s->target_segment;
    if (!s->initial_r2t) unsolicited = burst - now_sent;
  }
  struct pdu *p = queue(s, now_sent);
  p->header[0] = 0x01;
  p->header[1] = (t->writes ? 0x20 : 0x40) | (unsolicited ? 0 : 0x80) | 1; /* simple task */
  p->header[9] = lun; put32(p->header + 16, tag); put32(p->header + 20, block);
  put32(p->header + 24, s->cmdsn++); put32(p->header + 28, s->statsn);
  p->header[32] = t->writes ? 0x8a : 0x88; /* WRITE (16), READ (16) */
  uint64_t lba = htobe64(t->offset / 512);
  memcpy(p->header + 34, &lba, 8); put32(p->header + 42, block / 512);
  t->started = now(); s->inflight++;
  if (unsolicited) data_out(s, tag, 0xffffffff, now_sent, unsolicited);
  return 1;
}

static void flush(struct session *s) {
  struct iovec v[SEND_PDUS * 2];
  while (s->head != s->tail) {
    int count = 0;
    size_t total = 0, skip = s->sent;
    for (unsigned i = s->head; i != s->tail && count < SEND_PDUS * 2 - 1 && total < 1 << 20; i++) {
      struct pdu *p = &s->out[i % (SEND_PDUS * 16)];
      if (skip < BHS) v[count++] = (struct iovec){p->header + skip, BHS - skip};
      skip = skip < BHS ? 0 : skip - BHS;
      if (p->payload) v[count++] = (struct iovec){payload + skip, p->payload - skip};
      skip = 0; total += BHS + p->payload;
    }
    ssize_t n = sendmsg(s->fd, &(struct msghdr){.msg_iov = v, .msg_iovlen = count}, MSG_NOSIGNAL);
    if (n < 0 && errno == EAGAIN) { s->want_write = 1; return; }
    if (n < 0) fail("send");
    for (s->sent += n; s->head != s->tail; s->head++) {
      size_t whole = BHS + s->out[s->head % (SEND_PDUS * 16)].payload;
      if (s->sent < whole) break;
      s->sent -= whole;
    }
  }
  s->want_write = 0;
}

static void finish(struct session *s, uint32_t tag, uint8_t status) {
  if (tag >= (uint32_t)depth) fail("answer to an unknown task");
  if (status) fail("a command ended with another status than GOOD");
  if (s->tasks[tag].length == 0) s->unflushed = 0;
  else { record(now() - s->tasks[tag].started); operations++; bytes += s->tasks[tag].length; }
  s->idle[s->idle_count++] = tag; s->inflight--;
}
static void handle(struct session *s, const uint8_t *h) {
  uint32_t tag = get32(h + 16);
  if (h[0] != 0x31) s->maxcmdsn = get32(h + 32);
  switch (h[0]) {
    case 0x21: s->statsn = get32(h + 24) + 1; finish(s, tag, h[3]); break; /* SCSI response */
    case 0x25: if (h[1] & 1) { s->statsn = get32(h + 24) + 1; finish(s, tag, h[3]); } break; /* Data-In with status */
    case 0x31: s->maxcmdsn = get32(h + 32); data_out(s, tag, get32(h + 20), get32(h + 40), get32(h + 44)); break;
    case 0x20:                                                                     /* NOP-In, maybe a ping */
      if (get32(h + 20) != 0xffffffff) {
        struct pdu *p = queue(s, 0);
        p->header[0] = 0x40; p->header[1] = 0x80; memcpy(p->header + 8, h + 8, 8);
        put32(p->header + 16, 0xffffffff); memcpy(p->header + 20, h + 20, 4);
        put32(p->header + 24, s->cmdsn); put32(p->header + 28, s->statsn);
      }
      break;
    default: fail("unexpected PDU");
  }
}
static void receive(struct session *s) {
  ssize_t n = recv(s->fd, s->in + s->in_bytes, RECEIVE - s->in_bytes, 0);
  if (n < 0 && errno == EAGAIN) return;
  if (n <= 0) fail("the target closed the connection");
  size_t at = 0, end = s->in_bytes + n;
  for (;;) {
    size_t drop = s->skip < end - at ? s->skip : end - at;
    at += drop; s->skip -= drop;
    if (s->skip || end - at < BHS) break;
    s->skip = ((data_length(s->in + at) + 3) & ~3u) + s->in[at + 4] * 4;
    handle(s, s->in + at);
    at += BHS;
  }
  s->in_bytes = end - at;
  memmove(s->in, s->in + at, s->in_bytes);
  while (command(s)) {}
  flush(s);
}

static void arm(int poll, int index) {
  struct session *s = &sessions[index];
  if (s->armed == s->want_write) return;
  s->armed = s->want_write;
  epoll_ctl(poll, EPOLL_CTL_MOD, s->fd, &(struct epoll_event){.events = EPOLLIN | (s->armed ? EPOLLOUT : 0), .data.u32 = index});
}

int main(int argc, char **argv) {
  const char *host = "127.0.0.1";
  int port = 3260;
  double seconds = 3;
  for (int i = 1; i + 1 < argc; i += 2) {
    const char *key = argv[i], *value = argv[i + 1];
    if (!strcmp(key, "--host")) host = value;
    else if (!strcmp(key, "--port")) port = atoi(value);
    else if (!strcmp(key, "--target")) target = value;
    else if (!strcmp(key, "--lun")) lun = atoi(value);
    else if (!strcmp(key, "--block")) block = atoi(value);
    else if (!strcmp(key, "--depth")) depth = atoi(value);
    else if (!strcmp(key, "--sessions")) session_count = atoi(value);
    else if (!strcmp(key, "--seconds")) seconds = atof(value);
    else if (!strcmp(key, "--seed")) seed = strtoull(value, NULL, 0) * 0x9e3779b97f4a7c15ull | 1;
    else if (!strcmp(key, "--working-set")) working_set = strtoull(value, NULL, 0);
    else if (!strcmp(key, "--mode")) mode = !strcmp(value, "read") ? READ : !strcmp(value, "write") ? WRITE : !strcmp(value, "mix") ? MIX : !strcmp(value, "flush") ? FLUSH : FILL;
    else fail("unknown option");
  }
  if (depth > MAX_DEPTH || session_count > MAX_SESSIONS) fail("depth is at most 128, sessions 16");
  payload = malloc(1 << 20);
  for (size_t i = 0; i < 1 << 20; i += 8) { uint64_t v = rnd(); memcpy(payload + i, &v, 8); }
  int poll = epoll_create1(0);
  for (int i = 0; i < session_count; i++) {
    login(&sessions[i], i, host, port);
    epoll_ctl(poll, EPOLL_CTL_ADD, sessions[i].fd, &(struct epoll_event){.events = EPOLLIN, .data.u32 = i});
  }
  uint64_t began = now(), end = began + (uint64_t)(seconds * 1e9);
  for (int i = 0; i < session_count; i++) { while (command(&sessions[i])) {} flush(&sessions[i]); arm(poll, i); }
  for (int busy = 1; busy;) {
    struct epoll_event events[MAX_SESSIONS];
    int n = epoll_wait(poll, events, MAX_SESSIONS, 30000);
    if (n == 0) fail("no answer for 30 s");
    for (int i = 0; i < n; i++) {
      struct session *s = &sessions[events[i].data.u32];
      if (events[i].events & EPOLLOUT) flush(s);
      if (events[i].events & ~EPOLLOUT) receive(s);
    }
    for (int i = 0; i < session_count; i++) arm(poll, i);
    if (mode != FILL && now() >= end) stopping = 1;
    busy = !stopping && (mode != FILL || fill_next < working_set);
    for (int i = 0; i < session_count; i++) busy |= sessions[i].inflight;
  }
  double took = (now() - began) / 1e9;
  printf("{\"operations\":%llu,\"seconds\":%.6f,\"iops\":%.1f,\"bytesPerSecond\":%.0f,\"p50\":%.2f,\"p99\":%.2f,\"p999\":%.2f,\"max\":%.2f}\n",
    (unsigned long long)operations, took, operations / took, bytes / took, percentile(0.5), percentile(0.99), percentile(0.999), max_latency / 1000.0);
  return 0;
}
