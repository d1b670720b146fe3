package org.pytorch;

import fakes.FakeModel;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Paths;

public class LiteModuleLoader {
    public static Module load(String modelPath) {
        if (FakeModel.refusesToLoad) throw new RuntimeException("version_number not found");
        try {
            FakeModel.loaded = Files.readAllBytes(Paths.get(modelPath));
        } catch (IOException error) {
            throw new RuntimeException(error);
        }
        FakeModel.open++;
        return new Module();
    }
}
