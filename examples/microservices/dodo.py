import kfold

DOIT_CONFIG = kfold.DOIT_CONFIG
task_kfold = kfold.tasks
