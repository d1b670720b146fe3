package org.pytorch;

public class IValue {
    private final Object value;

    private IValue(Object value) { this.value = value; }

    public static IValue from(Tensor tensor) { return new IValue(tensor); }

    public static IValue tupleFrom(IValue... array) { return new IValue(array); }

    public boolean isTuple() { return value instanceof IValue[]; }

    public Tensor toTensor() {
        if (!(value instanceof Tensor)) throw new IllegalStateException("Expected IValue type TENSOR");
        return (Tensor) value;
    }

    public IValue[] toTuple() { return (IValue[]) value; }
}
