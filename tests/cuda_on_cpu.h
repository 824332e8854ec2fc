// CUDA's words for a C++ compiler, and a launch that runs all threads of a grid one after the other.
//
// launch<kernel>(blocks, threads, arguments) reads its arguments as cuLaunchKernel does: an array of addresses, each of
// as many bytes as the kernel's parameter has. Threads run backwards, since nothing may depend on their order.

#include <cmath>
#include <cstddef>
#include <utility>

using namespace std;  // exp, tanh, ... of float and of double

#define __global__
#define __device__ static inline

struct dim3 { unsigned x; };
static dim3 threadIdx, blockIdx, blockDim, gridDim;

template <class... A, size_t... I>
void launch(void (*kernel)(A...), unsigned blocks, unsigned threads, void **arguments, index_sequence<I...>)
{
    gridDim = {blocks};
    blockDim = {threads};
    for (blockIdx.x = blocks; blockIdx.x-- > 0;)
        for (threadIdx.x = threads; threadIdx.x-- > 0;)
            kernel(*static_cast<A *>(arguments[I])...);
}

template <class... A> void launch(void (*kernel)(A...), unsigned blocks, unsigned threads, void **arguments)
{
    launch(kernel, blocks, threads, arguments, index_sequence_for<A...>());
}

// How many bytes each parameter has, after their number; 256 is added for an address.
template <class... A> void describe(void (*)(A...), int *out)
{
    *out++ = sizeof...(A);
    ((*out++ = sizeof(A) + 256 * is_pointer<A>::value), ...);
}
