PROTOC = .venv-protos/bin/python -m grpc_tools.protoc
.venv-protos/.done:
	python3 -m venv .venv-protos
	.venv-protos/bin/pip install -q grpcio-tools==1.66.2 mypy-protobuf==3.6.0 setuptools
	touch $@
protos: .venv-protos/.done
	PATH="$(CURDIR)/.venv-protos/bin:$$PATH" $(PROTOC) -Iprotos --python_out=client --grpc_python_out=client --mypy_out=client --mypy_grpc_out=client protos/lookalike/v1/*.proto
