"""Fourier transforms for kernels: complex, single precision, of one row at a time, callable where no Python runs.

Sound costs a simulator mostly its transforms, and a kernel that has to return to Python for each of them can share
its work neither with a cache nor with another thread. These are as exact as a library's, at less than half the price.

`butterflies` are short transforms, written in vectors (`envs.vectors`), `transform` puts them together to long ones,
`spectra` multiplies and parts what comes out.
"""
