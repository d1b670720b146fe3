package org.pytorch;

import fakes.FakeModel;
import java.util.ArrayList;
import java.util.List;

public class Module {
    public IValue forward(IValue... inputs) {
        if (FakeModel.failsToRun) throw new RuntimeException("Could not run 'aten::conv2d'");
        List<IValue> outputs = new ArrayList<>();
        FakeModel.answer.apply(inputs[0].toTensor().getDataAsUnsignedByteArray()).forEach((name, output) ->
            outputs.add(IValue.from(new Tensor() {
                @Override
                public long[] shape() { return output.shape; }

                @Override
                public float[] getDataAsFloatArray() { return output.values; }
            })));
        return outputs.size() == 1 ? outputs.get(0) : IValue.tupleFrom(outputs.toArray(new IValue[0]));
    }

    public void destroy() { FakeModel.open--; }
}
