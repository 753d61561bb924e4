import runpy

try:
    from nni.recoverable import Recoverable
    # Advisors have ids that are texts, which nni v2.10 and v3.0 compare with a number: https://github.com/microsoft/nni/issues/5263
    Recoverable.is_created_in_previous_exp = lambda self, at: isinstance(at, int) and at <= self.recovered_max_param_id
except (ImportError, AttributeError):
    pass
runpy.run_module('nni', run_name='__main__', alter_sys=True)
