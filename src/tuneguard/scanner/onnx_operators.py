"""The operators that an ONNX model may ask its runtime for: those of the standard, and ONNX Runtime's own.

Data, not code. An operator is added when a model that a trusted program really wrote needs it. Left out are
those that load a compiled program (``EPContext``, ``Snpe``) and Python (``PyOp``).

Source: ONNX 1.23 ``onnx.defs.get_all_schemas``; ONNX Runtime 1.32 ``docs/ContribOperators.md``.
"""

from __future__ import annotations


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


OPERATORS: dict[str, frozenset[str]] = {
    "": _words(
        """
        Abs Acos Acosh Add AffineGrid And ArgMax ArgMin Asin Asinh Atan Atanh Attention AveragePool
        BatchNormalization Bernoulli BitCast BitShift BitwiseAnd BitwiseNot BitwiseOr BitwiseXor
        BlackmanWindow Cast CastLike CausalConvWithState Ceil Celu CenterCropPad Clip Col2Im Compress Concat
        ConcatFromSequence Constant ConstantOfShape Conv ConvInteger ConvTranspose Cos Cosh CumProd CumSum
        DFT DeformConv DepthToSpace DequantizeLinear Det Div Dropout DynamicQuantizeLinear Einsum Elu Equal
        Erf Exp Expand EyeLike Flatten Floor GRU Gather GatherElements GatherND Gelu Gemm GlobalAveragePool
        GlobalLpPool GlobalMaxPool Greater GreaterOrEqual GridSample GroupNormalization HammingWindow
        HannWindow HardSigmoid HardSwish Hardmax Identity If ImageDecoder InstanceNormalization IsInf IsNaN
        LRN LSTM LayerNormalization LeakyRelu Less LessOrEqual LinearAttention Log LogSoftmax Loop
        LpNormalization LpPool MatMul MatMulInteger Max MaxPool MaxRoiPool MaxUnpool Mean
        MeanVarianceNormalization MelWeightMatrix Min Mish Mod Mul Multinomial Neg NegativeLogLikelihoodLoss
        NonMaxSuppression NonZero Not OneHot Optional OptionalGetElement OptionalHasElement Or PRelu Pad Pow
        QLinearConv QLinearMatMul QuantizeLinear RMSNormalization RNN RandomNormal RandomNormalLike
        RandomUniform RandomUniformLike Range Reciprocal ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp
        ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum ReduceSumSquare RegexFullMatch Relu Reshape
        Resize ReverseSequence RoiAlign RotaryEmbedding Round STFT Scan Scatter ScatterElements ScatterND
        Selu SequenceAt SequenceConstruct SequenceEmpty SequenceErase SequenceInsert SequenceLength
        SequenceMap Shape Shrink Sigmoid Sign Sin Sinh Size Slice Softmax SoftmaxCrossEntropyLoss Softplus
        Softsign SpaceToDepth Split SplitToSequence Sqrt Squeeze StringConcat StringNormalizer StringSplit
        Sub Sum SwiGLU Swish Tan Tanh TensorScatter TfIdfVectorizer ThresholdedRelu Tile TopK Transpose
        Trilu Unique Unsqueeze Upsample Where Xor
        """
    ),
    "ai.onnx.ml": _words(
        """
        ArrayFeatureExtractor Binarizer CastMap CategoryMapper DictVectorizer FeatureVectorizer Imputer
        LabelEncoder LinearClassifier LinearRegressor Normalizer OneHotEncoder SVMClassifier SVMRegressor
        Scaler TreeEnsemble TreeEnsembleClassifier TreeEnsembleRegressor ZipMap
        """
    ),
    "ai.onnx.preview": _words(
        """
        FlexAttention
        """
    ),
    "ai.onnx.preview.training": _words(
        """
        Adagrad Adam Gradient Momentum
        """
    ),
    "com.microsoft": _words(
        """
        Attention AttnLSTM BeamSearch BiasAdd BiasDropout BiasGelu BiasSoftmax BiasSplitGelu
        BifurcationDetector BitmaskBiasDropout BitmaskDropout BranchwiseRMSNorm CDist CausalConvWithState
        ComplexMul ComplexMulConj ConvStateReplay ConvTransposeWithDynamicPads CropAndResize
        DecoderAttention DecoderMaskedMultiHeadAttention DecoderMaskedSelfAttention DequantizeBFP
        DequantizeLinear DequantizeWithOrder DynamicQuantizeLSTM DynamicQuantizeMatMul
        DynamicSparseAttention DynamicTimeWarping EmbedLayerNormalization EngramGate ExpandDims FastGelu
        FusedConv FusedGemm FusedMatMul FusedMatMulActivation GatedAdd GatedDeltaNet
        GatedDeltaNetStateReplay GatedRMSNorm GatedRelativePositionBias GatherBlockQuantized GatherND
        GatherPacked Gelu GemmFastGelu GemmFloat8 GemmaRotaryEmbedding GreedySearch GridSample GroupNorm
        GroupQueryAttention HyperConnectionLowRankMix HyperConnectionPostMix HyperConnectionPreMix Inverse
        Irfft IsAllFinite LinearAttention LinearAttentionGate LongformerAttention MRotaryEmbedding
        Mamba2Verify MatMulBlockQuantizedFp4Weight MatMulBlockQuantizedFp8Weight MatMulBnb4 MatMulFpQ4
        MatMulInteger16 MatMulIntegerToFloat MatMulNBits MatMulNBitsMlp MatMulNBitsQLoRA MatMulNBitsQkv
        MatMulPacked MaxpoolWithMask MoE MoEGroupRouter MoEPacked MulInteger MultiHeadAttention MurmurHash3
        NGramHashMapping NGramRepeatBlock NhwcConv NhwcFusedConv NhwcMaxPool PackedAttention
        PackedMultiHeadAttention PackedSparseAttentionIndexer PackedSparseAttentionIndexerMerge Pad
        PagedAttention QAttention QEmbedLayerNormalization QGemm QLinearAdd QLinearAveragePool QLinearConcat
        QLinearConv QLinearGlobalAveragePool QLinearLeakyRelu QLinearMul QLinearReduceMean QLinearSigmoid
        QLinearSoftmax QLinearWhere QMoE QOrderedAttention QOrderedGelu QOrderedLayerNormalization
        QOrderedLongformerAttention QOrderedMatMul QuantizeBFP QuantizeLinear QuantizeWithOrder QuickGelu
        RMSNormRotary Range ReduceSumInteger RelativePositionBias RemovePadding RestorePadding Rfft
        RotaryEmbedding RouterGateUpProj Sampling ScaledSiLU SkipGroupNorm SkipLayerNormalization
        SkipSimplifiedLayerNormalization SparseAttention SparseAttentionIndexer SparsePagedAttention
        SparseToDenseMatMul SpeculativePrefixCommit SwiGLU Tokenizer TorchEmbedding TransposeMatMul Trilu
        UnfoldTensor Unique VarlenCausalConvWithState VarlenNGramHashMapping WhisperBeamSearch
        WordConvEmbedding
        """
    ),
    "com.microsoft.nchwc": _words(
        """
        AveragePool Conv GlobalAveragePool GlobalMaxPool MaxPool ReorderInput ReorderOutput Upsample
        """
    ),
}
"""Every operator by its domain."""
OPERATORS |= {"ai.onnx": OPERATORS[""], "ai.onnx.training": OPERATORS["ai.onnx.preview.training"]}
