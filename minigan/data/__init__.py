"""Where real samples come from.

    toy       densities on the line
    digits    28 x 28 images in ten classes: glyphs (drawn from fonts), MNIST and Fashion-MNIST (idx, download)
    images    folders and zips of PNG and JPEG files
    batches   minibatches of any of these, without end

Data are rows of bytes or floats; batches makes float32 of them, and of pixels numbers in [-1, 1].
"""
