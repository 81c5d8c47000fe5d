/* An NVIDIA driver without a GPU: device memory is host memory, and a stream is done at once, or never. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int simulated_pending = 0;    /* how often the stream says that it isn't done; -1: for ever */
int simulated_failure = 0;    /* what the next query answers */
long simulated_allocated = 0; /* blocks and streams not given back */
int simulated_multiprocessors = 8;
size_t simulated_bytes = 7ul << 30; /* of memory */

int cuInit(unsigned flags) { return 0; }
int cuDeviceGet(int *device, int ordinal) { *device = ordinal; return 0; }
int cuDeviceGetName(char *name, int size, int device) { strncpy(name, "Simulated GPU", size); return 0; }
int cuDeviceGetAttribute(int *value, int which, int device) {
    *value = which == 16 ? simulated_multiprocessors : which == 75 ? 8 : 7;
    return 0;
}
int cuDeviceTotalMem_v2(size_t *size, int device) { *size = simulated_bytes; return 0; }
int cuDriverGetVersion(int *version) { *version = 12060; return 0; }
int cuDevicePrimaryCtxRetain(void **context, int device) { *context = (void *)1; return 0; }
int cuCtxSetCurrent(void *context) { return context == (void *)1 ? 0 : 201; }
int cuStreamCreate(void **stream, unsigned flags) { *stream = (void *)2; simulated_allocated++; return 0; }
/* A driver would wait for ever for a stream that never is done, and so would the test. */
static void wait(void) { if (simulated_pending < 0) abort(); }
int cuStreamDestroy_v2(void *stream) { wait(); simulated_allocated--; return 0; }
int cuStreamSynchronize(void *stream) { wait(); return 0; }
int cuStreamQuery(void *stream) {
    if (simulated_failure) { int code = simulated_failure; simulated_failure = 0; return code; }
    if (simulated_pending < 0) return 600;
    return simulated_pending-- > 0 ? 600 : (simulated_pending = 0);
}
int cuMemAlloc_v2(uint64_t *address, size_t size) {
    if (size > (1ul << 34)) return 2;
    *address = (uint64_t)malloc(size);
    simulated_allocated++;
    return 0;
}
int cuMemFree_v2(uint64_t address) { wait(); free((void *)address); simulated_allocated--; return 0; }
int cuMemHostAlloc(void **address, size_t size, unsigned flags) { *address = malloc(size); simulated_allocated++; return 0; }
int cuMemFreeHost(void *address) { wait(); free(address); simulated_allocated--; return 0; }
int cuMemcpyHtoDAsync_v2(uint64_t to, const void *from, size_t size, void *stream) { memcpy((void *)to, from, size); return 0; }
int cuMemcpyDtoHAsync_v2(void *to, uint64_t from, size_t size, void *stream) { memcpy(to, (void *)from, size); return 0; }
int cuGetErrorName(int code, const char **name) { *name = code == 2 ? "CUDA_ERROR_OUT_OF_MEMORY" : "CUDA_ERROR_UNKNOWN"; return 0; }
