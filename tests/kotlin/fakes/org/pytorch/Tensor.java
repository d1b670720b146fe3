package org.pytorch;

public abstract class Tensor {
    public abstract long[] shape();

    public float[] getDataAsFloatArray() { throw new IllegalStateException("not float32"); }

    public byte[] getDataAsUnsignedByteArray() { throw new IllegalStateException("not uint8"); }

    public static Tensor fromBlobUnsigned(byte[] data, long[] shape) {
        long elements = 1;
        for (long length : shape) elements *= length;
        if (data.length != elements) throw new IllegalArgumentException("the bytes do not fit the shape");
        return new Tensor() {
            @Override
            public long[] shape() { return shape.clone(); }

            @Override
            public byte[] getDataAsUnsignedByteArray() { return data; }
        };
    }
}
