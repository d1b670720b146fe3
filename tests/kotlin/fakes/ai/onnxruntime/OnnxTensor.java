package ai.onnxruntime;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.FloatBuffer;

public class OnnxTensor extends OnnxTensorLike {
    final byte[] bytes;
    private final float[] floats;

    OnnxTensor(byte[] bytes, float[] floats, long[] shape) {
        super(new TensorInfo(shape));
        this.bytes = bytes;
        this.floats = floats;
    }

    public static OnnxTensor createTensor(OrtEnvironment env, ByteBuffer data, long[] shape, OnnxJavaType type)
            throws OrtException {
        long elements = 1;
        for (long length : shape) elements *= length;
        if (type != OnnxJavaType.UINT8 || data.remaining() != elements || data.order() != ByteOrder.nativeOrder()) {
            throw new OrtException("the buffer does not fit the shape, the type or the machine");
        }
        byte[] bytes = new byte[data.remaining()];
        data.duplicate().get(bytes);
        return new OnnxTensor(bytes, null, shape);
    }

    public FloatBuffer getFloatBuffer() { return floats == null ? null : FloatBuffer.wrap(floats); }

    @Override
    public void close() { }
}
