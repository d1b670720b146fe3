package mobilemodels.squeezenetcxr

import androidx.test.ext.junit.runners.AndroidJUnit4
import org.junit.runner.RunWith

@RunWith(AndroidJUnit4::class)
class OnnxRuntimeGoldenPackTest : GoldenPackTest({ context -> SqueezenetCxrClassifier(context) })
