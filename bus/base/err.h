// err: failures as a code and a sentence.
// A function that can fail returns bus_err; the text is kept per thread until the next bus_fail.
// Thread: any; text is thread-local. Source: schemas/specs/daemons.md, "Errors".
#ifndef BUS_BASE_ERR_H
#define BUS_BASE_ERR_H

// 1..16 are the gRPC status codes, so an error crosses every edge as the number it already is.
typedef enum {
    BUS_OK = 0,
    BUS_ECANCELLED = 1,
    BUS_EUNKNOWN = 2,
    BUS_EINVAL = 3,     // INVALID_ARGUMENT: the input is wrong whatever the state
    BUS_ETIMEOUT = 4,   // DEADLINE_EXCEEDED
    BUS_ENOTFOUND = 5,  // NOT_FOUND
    BUS_EEXISTS = 6,    // ALREADY_EXISTS
    BUS_EPERM = 7,      // PERMISSION_DENIED
    BUS_ELIMIT = 8,     // RESOURCE_EXHAUSTED: larger than a bound that the text names
    BUS_ESTATE = 9,     // FAILED_PRECONDITION: wrong now, may be right later
    BUS_ECONFLICT = 10, // ABORTED: somebody else changed it first (ETag)
    BUS_ERANGE = 11,    // OUT_OF_RANGE
    BUS_EUNSUPPORTED = 12,
    BUS_EINTERNAL = 13,
    BUS_EUNAVAILABLE = 14, // the peer is away; try again later
    BUS_EDATALOSS = 15,
    BUS_EAUTH = 16,
    // codes of our own; bus_err_grpc maps them
    BUS_ENOMEM = 32, // RESOURCE_EXHAUSTED
    BUS_EIO = 33,    // UNAVAILABLE: errno text is in the message
    BUS_EUSAGE = 34, // INVALID_ARGUMENT on a command line: exit code 2
} bus_err;

// bus_fail starts an error: the text replaces whatever was there. Returns code.
bus_err bus_fail(bus_err code, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
// bus_note puts what the caller was doing in front ("<note>: <text>"). Returns err. Keeps BUS_OK silent.
bus_err bus_note(bus_err err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
// bus_err_text is the sentence of the last failure on this thread; never NULL, at most 1,023 bytes.
const char *bus_err_text(void);
// bus_err_name: "NOT_FOUND" …, the gRPC spelling. bus_err_grpc: 0..16.
const char *bus_err_name(bus_err err);
int bus_err_grpc(bus_err err);

#ifdef __clang_analyzer__ // it sees one source at a time: here the code comes back as it went in
static inline void bus_err_args(const char *fmt, ...)
{
    (void)fmt;
}
#define bus_fail(code, ...) (bus_err_args(__VA_ARGS__), (code))
#define bus_note(err, ...)  (bus_err_args(__VA_ARGS__), (err))
#endif

#endif
