// The reference that the provisioner is measured against: the controller of
// sig-storage-lib-external-provisioner, which makes for each claim the same Services and
// Deployments, one after the other, as provisioners on it do.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/sig-storage-lib-external-provisioner/v13/controller"
)

const (
	name        = "openebs.io/go-reference"
	volumeLabel = "openebs.io/persistent-volume"
)

// One volume's objects as JSON; VOLUME and ADDRESS in it stand for what differs. The first Service
// is the one whose address the others name.
type templates struct {
	Services    []json.RawMessage `json:"services"`
	Deployments []json.RawMessage `json:"deployments"`
}

type provisioner struct {
	client    kubernetes.Interface
	namespace string
	templates templates
}

func decode[T any](template json.RawMessage, volume, address string) (*T, error) {
	text := strings.NewReplacer("VOLUME", volume, "ADDRESS", address).Replace(string(template))
	object := new(T)
	return object, json.Unmarshal([]byte(text), object)
}

func (p *provisioner) Provision(ctx context.Context, options controller.ProvisionOptions) (*corev1.PersistentVolume, controller.ProvisioningState, error) {
	address := ""
	for _, template := range p.templates.Services {
		service, err := decode[corev1.Service](template, options.PVName, address)
		if err != nil {
			return nil, controller.ProvisioningFinished, err
		}
		made, err := p.client.CoreV1().Services(p.namespace).Create(ctx, service, metav1.CreateOptions{})
		if err != nil {
			return nil, controller.ProvisioningInBackground, err
		}
		if address == "" {
			address = made.Spec.ClusterIP
		}
	}
	for _, template := range p.templates.Deployments {
		deployment, err := decode[appsv1.Deployment](template, options.PVName, address)
		if err != nil {
			return nil, controller.ProvisioningFinished, err
		}
		if _, err := p.client.AppsV1().Deployments(p.namespace).Create(ctx, deployment, metav1.CreateOptions{}); err != nil {
			return nil, controller.ProvisioningInBackground, err
		}
	}
	return &corev1.PersistentVolume{
		ObjectMeta: metav1.ObjectMeta{Name: options.PVName},
		Spec: corev1.PersistentVolumeSpec{
			PersistentVolumeReclaimPolicy: *options.StorageClass.ReclaimPolicy,
			AccessModes:                   options.PVC.Spec.AccessModes,
			VolumeMode:                    options.PVC.Spec.VolumeMode,
			Capacity: corev1.ResourceList{
				corev1.ResourceStorage: options.PVC.Spec.Resources.Requests[corev1.ResourceStorage],
			},
			PersistentVolumeSource: corev1.PersistentVolumeSource{
				ISCSI: &corev1.ISCSIPersistentVolumeSource{
					TargetPortal: address + ":3260",
					IQN:          "iqn.2016-09.com.openebs:" + options.PVName,
					FSType:       "ext4",
				},
			},
		},
	}, controller.ProvisioningFinished, nil
}

func (p *provisioner) Delete(ctx context.Context, volume *corev1.PersistentVolume) error {
	of := metav1.ListOptions{LabelSelector: volumeLabel + "=" + volume.Name}
	background := metav1.DeletePropagationBackground
	all := metav1.DeleteOptions{PropagationPolicy: &background}
	if err := p.client.AppsV1().Deployments(p.namespace).DeleteCollection(ctx, all, of); err != nil {
		return err
	}
	services, err := p.client.CoreV1().Services(p.namespace).List(ctx, of)
	if err != nil {
		return err
	}
	for _, service := range services.Items {
		err := p.client.CoreV1().Services(p.namespace).Delete(ctx, service.Name, metav1.DeleteOptions{})
		if err != nil && !apierrors.IsNotFound(err) {
			return err
		}
	}
	return nil
}

func run() error {
	kubeconfig := flag.String("kubeconfig", "", "how to reach the cluster")
	namespace := flag.String("namespace", "openebs", "where the objects of volumes are made")
	file := flag.String("templates", "", "the objects of a volume, as JSON")
	workers := flag.Int("workers", 16, "claims that are worked on at once")
	flag.Parse()
	text, err := os.ReadFile(*file)
	if err != nil {
		return err
	}
	p := &provisioner{namespace: *namespace}
	if err := json.Unmarshal(text, &p.templates); err != nil {
		return err
	}
	config, err := clientcmd.BuildConfigFromFlags("", *kubeconfig)
	if err != nil {
		return err
	}
	config.QPS, config.Burst = 1000, 2000
	config.ContentType = runtime.ContentTypeProtobuf
	config.AcceptContentTypes = runtime.ContentTypeProtobuf + "," + runtime.ContentTypeJSON
	if p.client, err = kubernetes.NewForConfig(config); err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	fmt.Println("ready")
	controller.NewProvisionController(ctx, p.client, name, p,
		controller.Threadiness(*workers),
		controller.LeaderElectionNamespace(*namespace),
		controller.AddFinalizer(true),
	).Run(ctx)
	return nil
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
