// ONNX Runtime's adapter file: tensors that stand for graph inputs of the same names, chosen at each run. FlatBuffers with
// the identifier "TORT" and the schema
//
//     table Adapter   { format_version:int; adapter_version:int; model_version:int; parameters:[Parameter]; }
//     table Parameter { name:string; dims:[int64]; data_type:TensorDataType; raw_data:[uint8] (aligned to 8); }
//
// TensorDataType has the numbers of TensorProto.DataType. Written only, by what the format of FlatBuffers says of this
// schema; format_version is 1, the other two are 0.
#ifndef LORAC_ONNX_ADAPTER_H
#define LORAC_ONNX_ADAPTER_H

#include "safetensors.h"

// The file that holds [tensors], malloc'ed. Errors: UNSUPPORTED (2 GiB and more), MEMORY.
enum lorac_status lorac_onnx_adapter_pack(const struct lorac_safetensor *tensors, size_t count, uint8_t **bytes,
                                          size_t *byte_count, struct lorac_error *error);

#endif
